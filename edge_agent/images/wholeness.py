"""Is every byte of the picture there? Decided from its structure, without decoding.

Rules of this file:
- Decoders paint the missing half of a truncated JPEG gray and call it a success: we never ask them.
- Pure standard library and about as fast as reading the bytes: the daemon checks every file.
"""

from __future__ import annotations

import struct
import zlib

from edge_agent.errors import BadImage
from edge_agent.images.headers import ImageInfo, tiff_pages

_TRUNCATED_HINT = "Copy the file again, or take the picture again; the part that arrived was set aside."


def check_complete(data: bytes, info: ImageInfo) -> None:
    """Raises BadImage `truncated` when the file stops early, `damaged` when a PNG checksum disagrees.

    `info` is what `probe` said of the same bytes. Bytes after the end of the picture are ignored.
    """
    try:
        _CHECKS[info.mime_type](data)
    except (struct.error, IndexError):
        raise truncated() from None


def truncated() -> BadImage:
    return BadImage("The picture is not complete.", code="truncated", hint=_TRUNCATED_HINT)


def _jpeg(data: bytes) -> None:
    """Walks the header, whose thumbnail has an end marker of its own, to the first scan.

    From there on the end marker can only be the picture's: scans and their tables never hold FF D9.
    """
    at = 2
    while True:
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
            continue
        marker, length = struct.unpack_from(">xBH", data, at)
        at += 2 + length
        if marker == 0xDA:
            break
    if data.rfind(b"\xff\xd9", at) < 0:
        raise truncated()


def _png(data: bytes) -> None:
    at = 8
    view = memoryview(data)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        (stored,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(view[at + 4 : at + 8 + length]) != stored:
            raise BadImage("A checksum inside the PNG disagrees with its data.", code="damaged")
        if kind == b"IEND":
            return
        at += 12 + length


def _tiff(data: bytes) -> None:
    tags = tiff_pages(data)[0]
    offsets = tags.get(273) or tags.get(324) or ()
    lengths = tags.get(279) or tags.get(325) or ()
    if not offsets or len(offsets) != len(lengths):
        raise BadImage("The TIFF does not say where its pixels are.", code="undecodable")
    if any(offset + length > len(data) for offset, length in zip(offsets, lengths, strict=True)):
        raise truncated()


def _bmp(data: bytes) -> None:
    start, size = struct.unpack_from("<II", data, 10)
    layout = "<HHHH" if size == 12 else "<iiHH"
    width, height, _, bits = struct.unpack_from(layout, data, 18)
    compression, stored_bytes = (0, 0) if size == 12 else struct.unpack_from("<II", data, 30)
    is_run_length = compression in (1, 2)
    needed = stored_bytes if is_run_length else (width * bits + 31) // 32 * 4 * abs(height)
    if start + needed > len(data):
        raise truncated()


_CHECKS = {"image/jpeg": _jpeg, "image/png": _png, "image/tiff": _tiff, "image/bmp": _bmp}
