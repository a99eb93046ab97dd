"""The only place of the central server with SQL."""
