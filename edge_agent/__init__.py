"""ImageFlowCanvas Edge Agent: offline-first visual inspection on one factory PC or tablet."""

__version__ = "0.1.0"
