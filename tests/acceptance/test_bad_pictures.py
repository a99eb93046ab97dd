"""Bad pictures and names: an answer with code and hint, and nothing lost.

Rules of this file:
- The whole agent with its real parts.
- Every refusal is checked for what it left behind: nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.acceptance.handling import Picture, add_folder, drop, everything, sound, state_of
from tests.api_agent import Agent, open_agent
from tests.integration.conftest import SATO
from tests.waiting import wait_for


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.new("RGB", (40, 30), "white")).save(buffer, kind, **options)
    return buffer.getvalue()


def animated() -> bytes:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("white", "black")]
    return encoded("PNG", frames[0], save_all=True, append_images=frames[1:])


def rotated() -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return encoded("JPEG", exif=exif)


def png(width: int, height: int, body: bytes) -> bytes:
    """A PNG that claims that size, whatever its body holds; its checksums are right."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in (header, b"IDAT" + body, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def sixteen_bit() -> bytes:
    return cv2.imencode(".png", np.full((30, 40, 3), 65535, np.uint16))[1].tobytes()


Make = Callable[[], bytes]
BAD: dict[str, tuple[Make, str]] = {
    "truncated.jpg": (lambda: encoded("JPEG")[:-40], "truncated"),
    "truncated.png": (lambda: encoded("PNG")[:-20], "truncated"),
    "only-a-header.png": (lambda: encoded("PNG")[:20], "truncated-header"),
    "empty.png": (lambda: b"", "empty"),
    "text.png": (lambda: b"this is no picture\n" * 9, "unknown-format"),
    "animated.png": (animated, "animated"),
    "pages.tif": (
        lambda: encoded("TIFF", save_all=True, append_images=[Image.new("RGB", (4, 4))]),
        "animated",
    ),
    "bomb.png": (lambda: png(60_000, 60_000, zlib.compress(bytes(1000))), "too-many-pixels"),
    "garbled.png": (lambda: png(40, 30, b"not compressed at all" * 9), "undecodable"),
}
GOOD: dict[str, tuple[Make, tuple[int, int]]] = {
    "sixteen-bit.png": (sixteen_bit, (40, 30)),
    "cmyk.jpg": (lambda: encoded("JPEG", Image.new("CMYK", (40, 30), (0, 0, 0, 0))), (40, 30)),
    "turned.jpg": (rotated, (30, 40)),
    "dot.png": (lambda: encoded("PNG", Image.new("RGB", (1, 1), "white")), (1, 1)),
    "really-a-jpeg.png": (lambda: encoded("JPEG", Image.new("RGB", (41, 30), "white")), (41, 30)),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    place = tmp_path_factory.mktemp("api")
    (place / "hot").mkdir()
    with open_agent(place / "data", workers=1) as opened:
        add_folder(
            opened.services, "hot", place / "hot", product="PLATE", item="look", session="auto", give_up_s=0.0
        )
        yield opened


def upload_url(agent: Agent, serial: str) -> str:
    view = agent.services.sessions.start(json.dumps({"product": "PLATE", "serial": serial}), SATO)
    return f"/api/v1/sessions/{view.session.id}/items/{view.items[0].item.id}/images"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_is_refused_with_a_reason(api: Agent, name: str) -> None:
    make, code = BAD[name]
    url, before = upload_url(api, name), everything(api.services)
    answer = api.client.post(
        url,
        params={"name": name},
        content=make(),
        headers={**api.log_in("mika"), "Content-Type": "application/octet-stream"},
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == ("picture-missing" if code == "empty" else code)
    assert answer.json()["hint"]
    assert everything(api.services) == before


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_set_aside_with_a_reason(api: Agent, name: str) -> None:
    make, code = BAD[name]
    hot, before, data = api.services.config.data_dir.parent / "hot", everything(api.services), make()
    drop(hot, name, data)
    api.services.folders.reload()
    wait_for(lambda: not (hot / name).exists())
    [entry] = [entry for entry in api.services.folders.quarantined() if entry.name == name]
    assert entry.code == code
    assert entry.hint
    assert entry.path.read_bytes() == data
    api.services.folders.discard(entry.id)
    assert everything(api.services) == before


@pytest.mark.parametrize("name", GOOD)
def test_an_unusual_picture_is_inspected_upright(api: Agent, name: str) -> None:
    make, size = GOOD[name]
    answer = api.client.post(
        upload_url(api, name),
        params={"name": name, "wait_s": 60},
        content=make(),
        headers={**api.log_in("mika"), "Content-Type": "application/octet-stream"},
    )
    assert answer.status_code == 201, answer.text
    image = answer.json()["image"]
    assert (image["width_px"], image["height_px"]) == size
    assert answer.json()["verdict"]["overall_result"] == "OK", answer.text


@pytest.mark.parametrize("name", GOOD)
def test_an_unusual_file_is_inspected_too(api: Agent, name: str) -> None:
    hot = api.services.config.data_dir.parent / "hot"
    data = GOOD[name][0]() + b"from the folder"  # other bytes, the same picture
    drop(hot, name, data)
    api.services.folders.reload()
    wait_for(lambda: not (hot / name).exists())
    assert not api.services.folders.quarantined()
    assert state_of(api.services, data) == ("inspected", "OK")


def test_a_directory_named_like_a_picture_is_left_alone(api: Agent, picture: Picture) -> None:
    hot, data = api.services.config.data_dir.parent / "hot", picture()
    (hot / "directory.png").mkdir()
    (hot / "link.png").symlink_to("/etc/passwd")
    drop(hot, "good.png", data)
    api.services.folders.reload()
    wait_for(lambda: {path.name for path in hot.iterdir()} == {"directory.png", "link.png"})
    wait_for(lambda: "folder-ignored" in {finding.code for finding in api.services.findings()})
    (hot / "directory.png").rmdir()
    (hot / "link.png").unlink()
    assert state_of(api.services, data) == ("inspected", "OK")


def test_a_name_that_is_not_utf8_is_kept_readable(api: Agent, picture: Picture) -> None:
    hot, data = api.services.config.data_dir.parent / "hot", picture()
    name = b"\x83v\x83\x8c\x81[\x83g.png"  # Shift JIS
    for content in (data, b"no picture"):
        drop(hot, os.fsdecode(name), content)
        api.services.folders.reload()
        wait_for(lambda: not [*hot.iterdir()])
    assert state_of(api.services, data) == ("inspected", "OK")
    with api.services.database.read() as reader:
        [(origin,)] = reader.execute(
            "SELECT origin FROM inspection_images WHERE sha256 = ?", (hashlib.sha256(data).hexdigest(),)
        )
    [entry] = api.services.folders.quarantined()
    assert origin == entry.name == "\\x83v\\x83\\x8c\\x81[\\x83g.png"
    assert os.fsencode(entry.path.name) == name
    api.services.folders.discard(entry.id)


def test_the_installation_is_sound_after_all_these(api: Agent) -> None:
    wait_for(lambda: api.services.pool.state.running == 0)
    sound(api.services)


def test_a_duplicate_leaves_no_drawn_picture(api: Agent, picture: Picture) -> None:
    """Two files with the same bytes in one batch: both are begun, one is taken."""
    hot, data = api.services.config.data_dir.parent / "hot", picture()
    for name in ("a.png", "b.png"):
        drop(hot, name, data)
    api.services.folders.reload()
    wait_for(lambda: not [*hot.iterdir()])
    assert state_of(api.services, data) == ("inspected", "OK")
    wait_for(lambda: api.services.pool.state.running == 0)
    wait_for(lambda: api.services.pool.state.waiting == 0)
    sound(api.services)
