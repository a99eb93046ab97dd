"""Every picture is read as it is meant, or refused with its own code; never half."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edge_agent.errors import BadImage
from edge_agent.images import check_complete, decode, probe, verify_whole

FORMATS = ["JPEG", "PNG", "TIFF", "BMP"]
MIME = {name: f"image/{name.lower()}" for name in FORMATS}


def photograph(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(7).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def picture(pixels: NDArray[Any] | None = None) -> Image.Image:
    shown = photograph() if pixels is None else pixels
    return Image.fromarray(shown[:, :, ::-1] if shown.ndim == 3 else shown)


def encode(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    return decode(data, probe(data))


def code_of(data: bytes, **limits: Any) -> str:
    with pytest.raises(BadImage) as caught:
        probe(data, **limits)
    return caught.value.code_


def largest_difference(first: NDArray[Any], second: NDArray[Any]) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second.astype(int)).max())


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_recognised_and_decoded(name: str) -> None:
    data = encode(picture(), name)
    info = probe(data)
    assert (info.mime_type, info.width_px, info.height_px, info.frames) == (MIME[name], 64, 48, 1)
    assert info.size_bytes == len(data)
    decoded = decode(data, info)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    assert largest_difference(decoded, photograph()) <= (40 if name == "JPEG" else 0)
    assert verify_whole(data) == info


@settings(max_examples=60)
@given(
    name=st.sampled_from(FORMATS),
    mode=st.sampled_from(["1", "L", "RGB", "P"]),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
)
def test_the_header_agrees_with_pillow_for_any_size_and_mode(
    name: str, mode: str, width: int, height: int
) -> None:
    data = encode(picture(photograph(width, height)).convert("L" if name == "JPEG" else mode), name)
    info = probe(data)
    with Image.open(io.BytesIO(data)) as reference:
        assert (info.width_px, info.height_px) == reference.size
    assert decode(data, info).shape == (height, width, 3)


@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_refused_wherever_it_stops(name: str) -> None:
    exif = Image.Exif()
    exif[270] = "a description that makes the header long"
    data = encode(picture(), name, **({} if name == "BMP" else {"exif": exif}))
    for length in [*range(0, min(len(data), 700)), *range(700, len(data), 61), len(data) - 1]:
        with pytest.raises(BadImage) as caught:
            verify_whole(data[:length])
        assert caught.value.code_ in {
            "empty", "unknown-format", "truncated-header", "broken-header", "truncated",
        }, length  # fmt: skip


@pytest.mark.parametrize("options", [{"progressive": True}, {"progressive": False}])
def test_a_truncated_jpeg_with_a_thumbnail_inside_is_refused(options: dict[str, bool]) -> None:
    thumbnail = b"Exif\0\0" + encode(picture(), "JPEG")
    data = encode(picture(photograph(200, 150)), "JPEG", exif=thumbnail, **options)
    info = probe(data)
    assert (info.width_px, info.height_px) == (200, 150)
    check_complete(data, info)
    for length in range(len(thumbnail) + 40, len(data) - 1, 37):
        with pytest.raises(BadImage):
            verify_whole(data[:length])


def test_bytes_after_the_end_of_a_picture_are_ignored() -> None:
    for name in FORMATS:
        data = encode(picture(), name) + b"\0" * 500
        assert pixels_of(data).shape == (48, 64, 3)


def test_a_file_padded_with_zeros_in_advance_is_not_whole() -> None:
    for name in ["JPEG", "PNG"]:
        data = encode(picture(), name)
        half = data[: len(data) * 2 // 3]
        with pytest.raises(BadImage):
            verify_whole(half + b"\0" * (len(data) - len(half)))


def test_a_flipped_bit_in_a_png_is_found_by_its_checksum() -> None:
    data = bytearray(encode(picture(), "PNG"))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(BadImage) as caught:
        pixels_of(bytes(data))
    assert caught.value.code_ == "damaged"


def test_empty_and_foreign_files_have_their_own_codes() -> None:
    assert code_of(b"") == "empty"
    assert code_of(b"hello, this is no picture") == "unknown-format"
    assert code_of(encode(picture(), "GIF")) == "unknown-format"
    assert code_of(encode(picture(), "WEBP")) == "unknown-format"


def test_the_content_decides_and_a_lying_name_is_noted() -> None:
    data = encode(picture(), "PNG")
    assert probe(data, "part.jpg").mime_type == "image/png"
    assert probe(data, "part.jpg").name_disagrees
    assert not probe(data, "part.PNG").name_disagrees
    assert not probe(data, "part").name_disagrees


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_animations_and_pages_are_refused(name: str) -> None:
    second = picture(255 - photograph())
    data = encode(picture(), name, save_all=True, append_images=[second])
    assert code_of(data) == "animated"


def test_a_thumbnail_page_in_a_tiff_does_not_count_as_a_page() -> None:
    thumbnail = picture(photograph(8, 6))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    data = encode(picture(), "TIFF", save_all=True, append_images=[thumbnail])
    info = probe(data)
    assert (info.frames, info.width_px) == (1, 64)


def test_sixteen_bits_are_scaled_not_cut() -> None:
    values = np.array([[0, 128, 257, 32768, 65278, 65535]], np.uint16)
    for name in ["PNG", "TIFF"]:
        data = encode(Image.fromarray(values), name)
        assert probe(data).bits == 16
        assert pixels_of(data)[0, :, 0].tolist() == [0, 0, 1, 128, 254, 255]


def test_sixteen_bit_colour_is_scaled_too() -> None:
    wide = photograph().astype(np.uint16) * 257
    for extension in [".png", ".tiff"]:
        data = cv2.imencode(extension, wide)[1].tobytes()
        assert largest_difference(pixels_of(data), photograph()) == 0


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_becomes_the_colours_it_was_made_from(name: str) -> None:
    data = encode(picture().convert("CMYK"), name, **({"quality": 95} if name == "JPEG" else {}))
    assert probe(data).is_cmyk
    assert np.abs(pixels_of(data).astype(int) - photograph()).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
def test_every_exif_orientation_comes_out_upright(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = encode(picture(), name, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[:, :, ::-1]
    info = probe(data)
    assert info.orientation == orientation
    assert (info.height_px, info.width_px) == upright.shape[:2]
    assert largest_difference(decode(data, info), upright) <= 2


@settings(max_examples=60)
@given(st.binary(max_size=80))
def test_a_broken_exif_block_never_spoils_a_picture(block: bytes) -> None:
    payload = b"Exif\0\0MM\0*" + block
    jpeg = encode(picture(), "JPEG")
    data = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]
    info = probe(data)
    assert {info.width_px, info.height_px} == {64, 48}


def test_one_pixel_is_a_picture() -> None:
    for name in FORMATS:
        assert pixels_of(encode(picture(photograph(1, 1)), name)).shape == (1, 1, 3)


def test_transparency_is_laid_on_white() -> None:
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0] = (10, 20, 30, 255)
    for name in ["PNG", "TIFF"]:
        decoded = pixels_of(encode(Image.fromarray(clear), name))
        assert decoded[0, 0].tolist() == [30, 20, 10]
        assert decoded[1, 1].tolist() == [255, 255, 255]


def bomb(name: str) -> bytes:
    """A small file whose header claims 20,000 × 20,000 pixels."""
    if name == "PNG":
        return (
            b"\x89PNG\r\n\x1a\n"
            + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 20000, 20000, 8, 2, 0, 0, 0, 0)
            + bytes(12)
        )
    if name == "BMP":
        return b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 20000, -20000, 1, 24) + bytes(30)
    if name == "TIFF":
        entries = [(256, 4, 1, 20000), (257, 4, 1, 20000)]
        return (
            b"II*\0"
            + struct.pack("<IH", 8, 2)
            + b"".join(struct.pack("<HHII", *e) for e in entries)
            + bytes(4)
        )
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, 20000, 20000, 3) + bytes(9)


@pytest.mark.parametrize("name", FORMATS)
def test_a_decompression_bomb_is_refused_before_decoding(name: str) -> None:
    data = bomb(name) + (b"\0\0\0\0IDAT" if name == "PNG" else b"")
    with pytest.raises(BadImage) as caught:
        probe(data)
    assert caught.value.code_ == "too-many-pixels"


def test_limits_are_arguments() -> None:
    data = encode(picture(), "PNG")
    assert code_of(data, max_bytes=len(data) - 1) == "too-large"
    assert code_of(data, max_pixels=64 * 48 - 1) == "too-many-pixels"
    assert probe(data, max_bytes=len(data), max_pixels=64 * 48).width_px == 64


def test_pictures_beyond_pillows_own_warning_limit_are_read_in_silence() -> None:
    data = encode(Image.new("1", (9500, 9500)), "PNG")
    assert verify_whole(data).width_px == 9500


@settings(max_examples=200)
@given(
    start=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM"]),
    rest=st.binary(max_size=120),
)
def test_hostile_bytes_end_in_a_refusal_or_a_header_never_in_a_crash(start: bytes, rest: bytes) -> None:
    data = start + rest
    with contextlib.suppress(BadImage):
        check_complete(data, probe(data))


def test_floating_point_pixels_are_undecodable() -> None:
    floating = encode(Image.new("F", (4, 4)), "TIFF")
    with pytest.raises(BadImage) as caught:
        pixels_of(floating)
    assert caught.value.code_ == "undecodable"
