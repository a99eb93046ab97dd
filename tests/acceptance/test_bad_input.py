"""Bad pictures, names, disks, clocks, models and bundles: an answer with code and hint, and nothing lost.

Rules of this file:
- The whole agent with its real parts; disks are really full, really read-only.
- Every refusal is checked for what it left behind: nothing.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_agent.api.services import Services
from edge_agent.check import run_check
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.errors import BadDefinition, Busy, Unavailable
from edge_agent.inspection.late import Added
from edge_agent.inspection.sessions import SessionView
from edge_agent.models import Actor, AiResult, ImageSource, ImageState
from edge_agent.store import images, settings
from tests import bundles, onnx_models
from tests.acceptance.conftest import Disk
from tests.api_agent import Agent, open_agent
from tests.integration.conftest import SATO, agent_on
from tests.waiting import WAIT_S, wait_for

Picture = Callable[..., bytes]


# ── pictures ────────────────────────────────────────────────────────────────────────────────────────────


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


def add_folder(services: Services, name: str, path: Path, **more: Any) -> None:
    value = {"path": str(path), "settle_s": 0.0, **more}
    with services.database.write() as tx:
        settings.put(tx, f"folder.{name}", value, services.clock.now())
    services.folders.reload()


def drop(folder: Path, name: str, data: bytes) -> None:
    """Under a passing name first: a file that is due at once must be whole at once."""
    (folder / f"{name}.part").write_bytes(data)
    (folder / f"{name}.part").rename(folder / name)


def everything(services: Services) -> tuple[int, int, int]:
    """Image rows, sessions' images on disk, staged files."""
    with services.database.read() as reader:
        rows = reader.execute("SELECT count(*) FROM inspection_images").fetchone()[0]
    staged = len([*(services.config.data_dir / "staging").iterdir()])
    return rows, sum(1 for _ in services.blobs.all_files()), staged


def sound(services: Services) -> None:
    """`check`, as on a stopped agent, finds nothing at all."""
    with services.database.read() as reader:
        found = [*run_check(services.config, reader, now_s=0.0)]
    assert found == []


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


def state_of(services: Services, data: bytes) -> tuple[str, str]:
    """Of the one image with these bytes, once its run is over."""
    sha256 = hashlib.sha256(data).hexdigest()
    sql = """SELECT i.state, coalesce(i.failure, r.overall_result) FROM inspection_images i
             LEFT JOIN ai_inspection_results r ON r.image_id = i.id WHERE i.sha256 = ?"""

    def rows() -> list[tuple[str, str]]:
        with services.database.read() as reader:
            return [tuple(row) for row in reader.execute(sql, (sha256,))]

    wait_for(lambda: rows() and rows()[0][0] != "inspecting")
    [state] = rows()
    return state


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


# ── disks ───────────────────────────────────────────────────────────────────────────────────────────────


def start(services: Services, serial: str) -> SessionView:
    return services.sessions.start(json.dumps({"product": "PLATE", "serial": serial}), SATO)


def add(services: Services, view: SessionView, data: bytes) -> Added:
    return services.intake.add(
        view.session.id, view.items[0].item.id, data, source=ImageSource.UPLOAD, origin="x.png", actor=SATO
    )


def noise(seed: int, side: int = 200) -> bytes:
    """A picture of about 120 kB that does not compress."""
    pixels = np.random.default_rng(seed).integers(200, 256, (side, side, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_a_full_disk_refuses_uploads_and_loses_nothing(disk: Disk) -> None:
    with agent_on(disk.path / "data") as services:
        view = start(services, "S1")
        first = add(services, view, noise(1))
        assert first.verdict.result(WAIT_S) is not None
        disk.fill(leave_bytes=8192)
        before = everything(services)
        for seed in (2, 3):
            with pytest.raises(Unavailable) as caught:
                add(services, view, noise(seed))
            assert caught.value.code_ == "disk-full"
            assert caught.value.hint_
        assert everything(services) == before
        assert services.blobs.read(first.image.file_path) == noise(1)
        disk.free()
        again = add(services, view, noise(2))
        verdict = again.verdict.result(WAIT_S)
        assert verdict is not None
        assert verdict.overall_result is AiResult.OK
        wait_for(lambda: services.pool.state.running == 0)
        sound(services)


def test_a_full_disk_stops_the_folder_until_there_is_space(disk: Disk, tmp_path: Path) -> None:
    hot = tmp_path / "hot"
    hot.mkdir()
    with agent_on(disk.path / "data") as services:
        disk.fill(leave_bytes=300_000)
        for seed in range(10, 20):
            (hot / f"{seed}.png").write_bytes(noise(seed))
        (hot / "text.png").write_bytes(b"no picture" * 40_000)
        add_folder(services, "hot", hot, product="PLATE", item="look", session="auto", give_up_s=0.0)
        wait_for(lambda: "disk-full" in {finding.code for finding in services.findings()})
        with services.database.read() as reader:
            taken = reader.execute("SELECT count(*) FROM inspection_images").fetchone()[0]
        assert taken + len([*hot.glob("[0-9]*")]) >= 10
        wait_for(lambda: everything(services)[2] == 0, lambda: "what was begun is not taken back")
        disk.free()
        services.folders.reload()
        wait_for(lambda: not [*hot.iterdir()], lambda: (services.findings(), [*hot.iterdir()]))
        for seed in range(10, 20):
            assert state_of(services, noise(seed)) == ("inspected", "OK")
        [entry] = services.folders.quarantined()
        assert (entry.name, entry.code) == ("text.png", "unknown-format")
        assert len([*(services.config.data_dir / "quarantine").iterdir()]) == 1
        wait_for(lambda: services.pool.state.running == 0)
        sound(services)


def limit_pages(services: Services, more: int) -> None:
    """SQLite itself finds the disk full after so many more pages; 0 lifts the limit."""
    with services.database.maintenance() as writer:
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages + more if more else 1 << 30}")


def test_a_database_without_space_keeps_no_files(
    start_agent: Callable[..., Services], picture: Picture
) -> None:
    services = start_agent()
    view = start(services, "S1")
    before = everything(services)[1]
    limit_pages(services, 1)

    def fill() -> None:
        for _ in range(50):
            add(services, view, picture())

    with pytest.raises(Unavailable) as caught:
        fill()
    assert caught.value.code_ == "disk-full"
    rows, files, staged = everything(services)
    assert (files - before, staged) == (rows, 0)
    limit_pages(services, 0)
    add(services, view, picture()).verdict.result(WAIT_S)
    with services.database.read() as reader:
        wait_for(lambda: not images.unfinished(reader, 1))  # the recorder tries again by itself
    wait_for(lambda: services.pool.state.running == 0)
    sound(services)


def test_a_verdict_waits_for_the_disk(
    start_agent: Callable[..., Services], picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is there, the verdict finds the disk full: it is written as soon as there is space."""
    services = start_agent()
    view = start(services, "S1")
    monkeypatch.setattr("edge_agent.inspection.intake.outcome_now", lambda run: None)
    refused: list[int] = []
    write = services.database.write

    def full(actor: Actor, **more: Any) -> Any:
        import threading

        if threading.current_thread().name == "recorder" and len(refused) < 2:
            refused.append(1)
            raise Unavailable("The disk is full; the change was not made.", code="disk-full")
        return write(actor, **more)

    monkeypatch.setattr(services.database, "write", full)
    verdict = add(services, view, picture()).verdict.result(WAIT_S)
    assert len(refused) == 2
    assert verdict is not None
    assert verdict.overall_result is AiResult.OK


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "data-dir-read-only"),
        (errno.EACCES, "data-dir-read-only"),
        (errno.EIO, "disk-error"),
        (errno.EFBIG, "disk-error"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_whatever_the_disk_refuses_has_a_code_and_leaves_nothing(
    agent: Services, picture: Picture, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: str
) -> None:
    """Where nothing can be mounted, and for what no mount gives: the system's own answers, put in its mouth."""
    view, before = start(agent, f"{call}-{code}"), everything(agent)

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    data = picture()
    with monkeypatch.context() as broken:
        broken.setattr(f"edge_agent.blobs.os.{call}", refuse)
        with pytest.raises(Unavailable) as caught:
            add(agent, view, data)
    assert caught.value.code_ == code
    assert caught.value.hint_
    assert everything(agent) == before
    assert add(agent, view, data).verdict.result(WAIT_S) is not None


def test_masters_need_space_and_say_so(disk: Disk, tmp_path: Path) -> None:
    with agent_on(disk.path / "data") as services:
        version, running = services.masters.status().imported, services.masters.running
        folder = bundles.write_bundle(
            tmp_path / "more",
            {"pipelines/front.json": bundles.pipeline()},
            version="2.0.0",
            models=("1.0.0", "2.0.0"),
        )
        for leave in (0, 40_000):
            disk.fill(leave_bytes=leave)
            with pytest.raises(Unavailable) as caught:
                services.masters.import_bundle(folder, Actor("test"))
            assert caught.value.code_ == "disk-full", caught.value
            disk.free()
        assert services.masters.status().imported == version
        assert services.masters.running is running
        assert not [*(services.config.data_dir / "imports").glob("*")]
        services.masters.import_bundle(folder, Actor("test"))
        sound(services)


def test_a_full_disk_refuses_a_backup_and_leaves_none(disk: Disk) -> None:
    with agent_on(disk.path / "data") as services:
        add(services, start(services, "S1"), noise(1)).verdict.result(WAIT_S)
        disk.fill(leave_bytes=50_000)
        with pytest.raises(Unavailable) as caught:
            services.make_backup(None)
        assert caught.value.code_ == "disk-full"
        assert not [*(services.config.data_dir / "backups").iterdir()]
        disk.free()
        assert services.make_backup(None)["files"]


def test_a_read_only_directory_is_named_at_start(disk: Disk) -> None:
    with agent_on(disk.path / "data"):
        pass
    disk.remount("ro")
    try:
        with pytest.raises(Unavailable) as caught, agent_on(disk.path / "data"):
            pass
    finally:
        disk.remount("rw")
    assert caught.value.code_ == "data-dir-read-only"
    assert caught.value.hint_
    with agent_on(disk.path / "data") as services:
        sound(services)


def test_two_agents_never_share_a_directory(agent: Services) -> None:
    with pytest.raises(Busy) as caught, running_services(load_config(agent.config.data_dir), Clock()):
        pass
    assert caught.value.code_ == "already-running"
    assert str(os.getpid()) in str(caught.value)
    assert caught.value.hint_
    start(agent, "still-alive")


# ── the clock ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_clock_set_back_turns_nothing_round(tmp_path: Path, picture: Picture) -> None:
    """The newest image decides an item, also when the clock says it is the oldest, also after a restart."""
    now = [1_800_000_000.0]
    data = tmp_path / "data"
    with agent_on(data):
        pass
    config = load_config(data, min_free_bytes=0, workers=1, review_share=0.0)
    with running_services(config, Clock(time=lambda: now[0])) as services:
        view = start(services, "S1")
        dark = add(services, view, picture(0))
        dark.verdict.result(WAIT_S)
        now[0] -= 400 * 86_400
        bright = add(services, view, picture(255))
        bright.verdict.result(WAIT_S)
        assert bright.image.id > dark.image.id
        assert verdict_of(services, view) == ("OK", bright.image.id)
    now[0] -= 400 * 86_400
    with running_services(config, Clock(time=lambda: now[0])) as services:
        again = add(services, view, picture(0))
        again.verdict.result(WAIT_S)
        assert again.image.id > bright.image.id
        assert verdict_of(services, view) == ("NG", again.image.id)
        assert services.make_backup(None)["findings"] == []
        wait_for(lambda: services.pool.state.running == 0)
        sound(services)


def verdict_of(services: Services, view: SessionView) -> tuple[str, str | None]:
    verdict = services.sessions.view(view.session.id).items[0].verdict
    assert verdict is not None
    return verdict.ai_result, verdict.image_id


# ── models and masters ──────────────────────────────────────────────────────────────────────────────────


def external(folder: Path) -> Path:
    """A package whose weights lie in a file beside the network."""
    built = onnx.load_from_string(onnx_models.brightness_classifier())
    place = folder.with_name("exported")
    place.mkdir()
    onnx.save(built, str(place / "m.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    onnx_models.package(folder, (place / "m.onnx").read_bytes(), onnx_models.CLASSIFIER)
    (place / "w.bin").rename(folder / "w.bin")
    return folder


def single(data: bytes) -> Callable[[Path], Path]:
    return lambda folder: onnx_models.package(folder, data, onnx_models.CLASSIFIER)


def future_opset() -> bytes:
    built = onnx.load_from_string(onnx_models.brightness_classifier())
    built.opset_import[0].version = 99
    return bytes(built.SerializeToString())


def always(value: float, count: int = 2) -> bytes:
    logits = np.full((1, count), value, np.float32)
    return onnx_models.constant_output({"logits": logits}, size=(16, 16), input_name="image")


BAD_MODELS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "external-data": (external, "external-data"),
    "opset": (single(future_opset()), "model-opset"),
    "nan": (single(always(float("nan"))), "model-output-nan"),
    "shape": (single(always(1.0, count=5)), "model-output-shape"),
    "text": (single(b"no network at all"), "not-onnx"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_is_refused_and_the_old_one_stays(
    agent: Services, tmp_path: Path, picture: Picture, name: str
) -> None:
    make, code = BAD_MODELS[name]
    folder = make(tmp_path / "bright-9.0.0")
    if (folder / "model.json").exists():
        manifest = json.loads((folder / "model.json").read_text()) | {"version": "9.0.0"}
        bundles.put_json(folder / "model.json", manifest)
    before, running = agent.masters.status().models, agent.masters.running
    with pytest.raises(BadDefinition) as caught:
        agent.masters.install_model(folder, Actor("test"), activate=True)
    assert code in {problem.code for problem in caught.value.problems}, caught.value.problems
    assert caught.value.hint_
    assert agent.masters.status().models == before
    assert agent.masters.running is running
    assert [path.name for path in (agent.config.data_dir / "models").iterdir()] == ["bright-1.0.0"]
    verdict = add(agent, start(agent, f"after-{name}"), picture()).verdict.result(WAIT_S)
    assert verdict is not None
    assert verdict.overall_result is AiResult.OK


@pytest.mark.parametrize("name", ["nan", "opset", "shape"])
def test_a_bundle_with_a_bad_model_changes_nothing(agent: Services, tmp_path: Path, name: str) -> None:
    make, code = BAD_MODELS[name]
    folder = bundles.write_bundle(
        tmp_path / "b", {"pipelines/front.json": bundles.pipeline()}, version="2.0.0"
    )
    package = make(folder / "models" / "bright-9.0.0")
    manifest = json.loads((package / "model.json").read_text()) | {"version": "9.0.0"}
    bundles.put_json(package / "model.json", manifest)
    before, running = agent.masters.status(), agent.masters.running
    with pytest.raises(BadDefinition) as caught:
        agent.masters.import_bundle(bundles.seal(folder, version="2.0.0"), Actor("test"))
    assert code in {problem.code for problem in caught.value.problems}, caught.value.problems
    assert agent.masters.status() == before
    assert agent.masters.running is running


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "bundle.json").write_text("{"),
        lambda folder: (folder / "bundle.json").unlink(),
        lambda folder: (folder / "items.json").write_text("[]"),
        lambda folder: (folder / "products.json").unlink(),
        lambda folder: (folder / "models" / "bright-1.0.0" / "model.onnx").write_bytes(b""),
        lambda folder: (folder / "stranger.txt").write_text("hello"),
        lambda folder: (folder / "link.json").symlink_to("/etc/passwd"),
    ],
    ids=["half", "headless", "changed", "missing", "model", "stranger", "link"],
)
def test_a_malformed_bundle_names_its_problems_and_changes_nothing(
    agent: Services, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    folder = bundles.write_bundle(tmp_path / "b", version="3.0.0")
    spoil(folder)
    before = agent.masters.status()
    with pytest.raises(BadDefinition) as caught:
        agent.masters.import_bundle(folder, Actor("test"))
    assert caught.value.problems
    assert all(problem.code and problem.message for problem in caught.value.problems)
    assert agent.masters.status() == before


def use_model(services: Services, tmp_path: Path, data: bytes) -> None:
    """Masters whose item is judged by that network; it behaves on gray and dark pictures."""
    folder = bundles.write_bundle(
        tmp_path / "odd",
        {"pipelines/front.json": {**bundles.pipeline(model="odd"), "version": "2.0.0"}},
        version="2.0.0",
    )
    package = onnx_models.package(
        folder / "models" / "odd-1.0.0", data, onnx_models.CLASSIFIER,
        output={"decoder": "classify", "activation": "softmax", "classes": ["bright", "dark"]},
    )  # fmt: skip
    assert package.is_dir()
    services.masters.import_bundle(bundles.seal(folder, version="2.0.0"), Actor("test"))


def nan_when_bright() -> bytes:
    """Two logits; 0 ÷ 0 for a picture that is white throughout."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "limit"], ["bright"]),
        helper.make_node("Where", ["bright", "nan", "mean"], ["odd"]),
        helper.make_node("Mul", ["odd", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["row"]),
        helper.make_node("Unsqueeze", ["row", "axis"], ["logits"]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "limit": np.array(0.9, np.float32),
        "nan": np.array(np.nan, np.float32),
        "gain": np.array([10, -10], np.float32),
        "bias": np.array([0, 10], np.float32),
        "axis": np.array([0], np.int64),
    }
    inputs = {"image": (TensorProto.FLOAT, [1, 3, 16, 16])}
    return onnx_models.model(nodes, inputs, {"logits": (TensorProto.FLOAT, [1, 2])}, weights)


def test_a_model_that_breaks_on_some_pictures_gives_error_never_ok(
    start_agent: Callable[..., Services], tmp_path: Path, picture: Picture
) -> None:
    services = start_agent()
    use_model(services, tmp_path, nan_when_bright())
    view = start(services, "S1")
    broken = add(services, view, picture(255)).verdict.result(WAIT_S)
    assert broken is not None
    assert broken.overall_result is AiResult.ERROR
    assert broken.detailed_results["reasons"][0]["code"]
    fine = add(services, view, picture(0)).verdict.result(WAIT_S)
    assert fine is not None
    assert fine.overall_result is AiResult.NG


def test_a_model_that_hangs_is_stopped_and_the_line_goes_on(
    start_agent: Callable[..., Services], tmp_path: Path, picture: Picture
) -> None:
    services = start_agent(inference_deadline_s=0.5, inference_attempts=1)
    use_model(services, tmp_path, onnx_models.never_ending())
    view = start(services, "S1")
    hung = add(services, view, picture(255))
    verdict = hung.verdict.result(WAIT_S)
    assert verdict is not None
    assert verdict.overall_result is AiResult.ERROR
    assert verdict.detailed_results["error"]["code"] == "inference-timeout"
    with services.database.read() as reader:
        [(state, failure)] = reader.execute("SELECT state, failure FROM inspection_images")
    assert (state, failure) == (ImageState.FAILED, "inference-timeout")
    after = add(services, view, picture(0)).verdict.result(WAIT_S)
    assert after is not None
    assert after.overall_result is not AiResult.ERROR
