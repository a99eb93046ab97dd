"""Solar cells: a public data set through the real agent (see README.md)."""
