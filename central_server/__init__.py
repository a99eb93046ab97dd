"""The central server: owns the masters, takes in the facts of every device."""

from importlib.metadata import version

__version__ = version("imageflowcanvas-edge-agent")  # one wheel holds both ends
