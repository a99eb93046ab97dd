"""Masters at the centre: changed, verified, imported, exported."""
