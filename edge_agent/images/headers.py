"""What a picture claims to be, read from its first bytes without decoding it.

Rules of this file:
- Pure standard library: the daemon probes every file, and a decoder's import or warning is a cost.
- Bytes are hostile: every read is bounded by the data, any short read is `truncated-header`.
- Limits are checked here, before any decoder allocates a pixel.
- JPEG, PNG, TIFF and BMP only; a broken EXIF block never spoils a good picture.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from edge_agent.errors import BadImage

MAX_BYTES = 20_000_000
MAX_PIXELS = 100_000_000

_EXTENSIONS: Mapping[str, frozenset[str]] = {
    "image/jpeg": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "image/png": frozenset({".png"}),
    "image/tiff": frozenset({".tif", ".tiff"}),
    "image/bmp": frozenset({".bmp", ".dib"}),
}
_FOREIGN = {b"GIF8": "GIF", b"%PDF": "PDF", b"PK\x03\x04": "ZIP", b"II+\0": "BigTIFF", b"MM\0+": "BigTIFF"}
_SOF_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_INTEGER_TYPES = {1: "B", 3: "H", 4: "I"}
_TIFF_TAGS = frozenset({254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 322, 323, 324, 325, 338, 339})
_MAX_PAGES = 64

Tags = Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A picture's header.

    `width_px`, `height_px` are those of the upright picture, as `decode` returns it; `orientation` is the
    EXIF value 1–8 that leads there. `bits` per channel. `name_disagrees`: the file name's extension
    promised another format; the content was believed.
    """

    mime_type: str
    width_px: int
    height_px: int
    size_bytes: int
    frames: int = 1
    orientation: int = 1
    bits: int = 8
    has_alpha: bool = False
    is_cmyk: bool = False
    name_disagrees: bool = False


@dataclass(frozen=True, slots=True)
class _Header:
    mime_type: str
    width_px: int
    height_px: int
    bits: int
    frames: int = 1
    orientation: int = 1
    has_alpha: bool = False
    is_cmyk: bool = False


def probe(
    data: bytes, name: str | None = None, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> ImageInfo:
    """Reads the header of `data`, and refuses what must not be decoded.

    Raises BadImage: `empty`, `too-large`, `unknown-format`, `truncated-header`, `broken-header`,
    `too-many-pixels`, `animated`.
    """
    if not data:
        raise BadImage("The file is empty.", code="empty")
    if len(data) > max_bytes:
        raise BadImage(
            f"The file has {len(data):,} bytes; at most {max_bytes:,} are allowed.",
            code="too-large",
            hint="Save the picture smaller or as JPEG, then send it again.",
            size_bytes=len(data),
        )
    header = _read(data)
    _refuse(header, max_pixels)
    turned = header.orientation >= 5
    suffix = PurePath(name).suffix.lower() if name else ""
    return ImageInfo(
        mime_type=header.mime_type,
        width_px=header.height_px if turned else header.width_px,
        height_px=header.width_px if turned else header.height_px,
        size_bytes=len(data),
        frames=header.frames,
        orientation=header.orientation,
        bits=header.bits,
        has_alpha=header.has_alpha,
        is_cmyk=header.is_cmyk,
        name_disagrees=bool(suffix) and suffix not in _EXTENSIONS[header.mime_type],
    )


def _read(data: bytes) -> _Header:
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data.startswith((b"II*\0", b"MM\0*")):
            return _tiff(data)
        if data.startswith(b"BM"):
            return _bmp(data)
    except (struct.error, IndexError):
        raise BadImage("The file ends inside its header.", code="truncated-header") from None
    kind = next((kind for magic, kind in _FOREIGN.items() if data.startswith(magic)), None)
    raise BadImage(
        f"The file is {f'a {kind} file' if kind else 'no picture this agent knows'}, "
        "not JPEG, PNG, TIFF or BMP.",
        code="unknown-format",
        hint="Save the picture as JPEG, PNG, TIFF or BMP and send it again.",
    )


def _refuse(header: _Header, max_pixels: int) -> None:
    width, height = header.width_px, header.height_px
    if width < 1 or height < 1:
        raise BadImage(f"The header claims {width}×{height} pixels.", code="broken-header")
    if width * height > max_pixels:
        raise BadImage(
            f"The picture has {width}×{height} pixels; at most {max_pixels:,} are allowed.",
            code="too-many-pixels",
            hint="Lower the camera's resolution or crop the picture, then send it again.",
            width_px=width,
            height_px=height,
        )
    if header.frames > 1:
        raise BadImage(
            f"The file holds {header.frames} pictures (animation or pages); one is expected.",
            code="animated",
            hint="Save the one picture to inspect into a file of its own.",
            frames=header.frames,
        )


def _jpeg(data: bytes) -> _Header:
    at, orientation = 2, 1
    while True:
        if data[at] != 0xFF:
            raise BadImage("The JPEG header is damaged.", code="broken-header")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _SOF_MARKERS:
            bits, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            return _Header(
                "image/jpeg", width, height, bits, orientation=orientation, is_cmyk=components == 4
            )
        if marker in (0xD9, 0xDA) or length < 2:
            raise BadImage("The JPEG has no frame header.", code="broken-header")
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _exif_orientation(data[at + 10 : at + 2 + length])
        at += 2 + length


def _png(data: bytes) -> _Header:
    if data[12:16] != b"IHDR":
        raise BadImage("The PNG does not begin with its header.", code="broken-header")
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    frames, orientation, has_alpha = 1, 1, colour in (4, 6)
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"acTL":
            (frames,) = struct.unpack_from(">I", data, at + 8)
        elif kind == b"tRNS":
            has_alpha = True
        elif kind == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    return _Header("image/png", width, height, bits, frames, orientation, has_alpha)


def _bmp(data: bytes) -> _Header:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
    return _Header("image/bmp", width, abs(height), 8 if bits >= 8 else bits)


def _tiff(data: bytes) -> _Header:
    pages = tiff_pages(data)
    if not pages:
        raise BadImage("The TIFF holds no picture.", code="broken-header")
    tags = pages[0]
    photometric = _one(tags, 262, 1)
    return _Header(
        "image/tiff",
        _one(tags, 256, 0),
        _one(tags, 257, 0),
        _one(tags, 258, 1),
        len(pages),
        _orientation(tags),
        has_alpha=any(kind in (1, 2) for kind in tags.get(338, ())),
        is_cmyk=photometric == 5,
    )


def tiff_pages(data: bytes) -> list[Tags]:
    """The tags of each page of a TIFF (embedded thumbnails left out), at most 64.

    Raises struct.error when a directory lies outside the data.
    """
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", data, 4)
    pages: list[Tags] = []
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < _MAX_PAGES:
        seen.add(offset)
        tags, offset = _directory(data, offset, order, _TIFF_TAGS)
        if not _one(tags, 254, 0) & 1:
            pages.append(tags)
    return pages


def _directory(data: bytes, offset: int, order: str, wanted: frozenset[int]) -> tuple[Tags, int]:
    """The wanted integer tags of one image file directory, and the offset of the next one."""
    (count,) = struct.unpack_from(order + "H", data, offset)
    tags: dict[int, tuple[int, ...]] = {}
    for at in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", data, at)
        letter = _INTEGER_TYPES.get(kind)
        if tag not in wanted or letter is None:
            continue
        if values > len(data):
            raise struct.error("more values than bytes")
        layout = f"{order}{values}{letter}"
        place = at + 8
        if struct.calcsize(layout) > 4:
            (place,) = struct.unpack_from(order + "I", data, at + 8)
        tags[tag] = struct.unpack_from(layout, data, place)
    (following,) = struct.unpack_from(order + "I", data, offset + 2 + 12 * count)
    return tags, following


def _exif_orientation(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(order + "I", block, 4)
        tags, _ = _directory(block, offset, order, frozenset({274}))
    except struct.error:
        return 1
    return _orientation(tags)


def _orientation(tags: Tags) -> int:
    value = _one(tags, 274, 1)
    return value if 1 <= value <= 8 else 1


def _one(tags: Tags, tag: int, default: int) -> int:
    values = tags.get(tag)
    return values[0] if values else default
