"""The central server: owns the masters, takes in the facts of every device."""
