"""Masters without a server: bundles, model packages, people, calibrations."""
