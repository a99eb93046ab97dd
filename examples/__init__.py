"""Examples anyone can run again; none of them ships in the wheel."""
