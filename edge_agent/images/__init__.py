"""Pictures as they arrive: what they are (header only), whether they are whole, and their pixels.

Rules of this file:
- Only names: `probe` costs microseconds and imports nothing heavy, `decode` imports OpenCV when called.
- The content decides what a file is, never its name.
"""

from edge_agent.images.headers import (
    MAX_BYTES,
    MAX_PIXELS,
    ImageInfo,
    probe,
)
from edge_agent.images.pixels import decode, verify_whole
from edge_agent.images.wholeness import check_complete

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "ImageInfo",
    "check_complete",
    "decode",
    "probe",
    "verify_whole",
]
