"""The pictures drawn of a photograph: where they are, and making again what can be made again.

Rules of this file:
- A photograph is decoded by an inference worker only; here only JPEGs that our own workers wrote are opened.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

from edge_agent.api.services import Services
from edge_agent.errors import AgentError, NotFound
from edge_agent.inference.jobs import Job
from edge_agent.models import Image

THUMBNAIL_S = 20.0
PRINT_PX, PRINT_QUALITY = 1000, 80


def drawn_path(has: Services, image_id: str, kind: Literal["overlay", "heatmap", "thumbnail"]) -> Path:
    """Where it is, or would be."""
    return has.config.data_dir / "derived" / f"{image_id}.{kind}.jpg"


def thumbnail_path(has: Services, image: Image) -> Path:
    """The photograph, small; drawn again if it is gone. Raises NotFound (`image-evicted`)."""
    path = drawn_path(has, image.id, "thumbnail")
    if not path.is_file():
        require_here(image)
        _draw_thumbnail(has, image)
    return path


def require_here(image: Image) -> None:
    """Raises NotFound (`image-evicted`)."""
    if image.evicted_at is not None:
        raise NotFound(
            f"The picture {image.id} was removed here on {image.evicted_at[:10]}; the centre has it.",
            code="image-evicted",
            hint="Look at it at the central server, under the sha256 in this answer.",
            sha256=image.sha256,
        )


def printable(has: Services, image: Image) -> bytes | None:
    """A JPEG within PRINT_PX × PRINT_PX, with what the AI found if that was drawn; None where there is none."""
    try:
        overlay = drawn_path(has, image.id, "overlay")
        return _shrunk(overlay if overlay.is_file() else thumbnail_path(has, image))
    except (AgentError, OSError):  # removed here, or damaged: the record says that there is no picture
        return None


def _shrunk(path: Path) -> bytes:
    from PIL import JpegImagePlugin

    with JpegImagePlugin.JpegImageFile(path) as picture:
        picture.draft("RGB", (PRINT_PX, PRINT_PX))
        picture.thumbnail((PRINT_PX, PRINT_PX))
        target = io.BytesIO()
        picture.save(target, "JPEG", quality=PRINT_QUALITY)
    return target.getvalue()


def _draw_thumbnail(has: Services, image: Image) -> None:
    job = Job(
        picture=has.blobs.path_of(image.file_path),
        plan=None,
        criteria={},
        scan={},
        calibration=None,
        now=has.clock.now(),
        deadline_s=THUMBNAIL_S,
        derived=has.config.data_dir / "derived" / image.id,
    )
    has.pool.submit(job).rendered.result(THUMBNAIL_S)
