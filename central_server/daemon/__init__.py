"""The running server: builds every part, starts them in order, stops them in reverse; nothing else constructs."""
