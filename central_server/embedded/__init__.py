"""Real servers started from packages into the data directory: for trying it on one machine, demos and tests."""
