"""The bundled demo: masters (`bundle/`), sample photographs (`images/`) and where they are.

Rules of this file:
- Only paths: `examples/demo_plate` makes the files, nothing here writes.
"""

from pathlib import Path

DEMO = Path(__file__).parent
BUNDLE = DEMO / "bundle"
IMAGES = DEMO / "images"
EXPECTED = IMAGES / "expected.json"
