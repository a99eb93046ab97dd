"""The scripts that make what `edge_agent/demo` ships."""
