"""Hot folders of a running agent: their files become sessions, images and verdicts, each exactly once.

Rules of this file:
- One agent for the file; every test has folders of its own, and waits until they are empty.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.api.services import Services
from edge_agent.check import run_check
from edge_agent.models import Actor, Finding
from edge_agent.store import settings
from tests import bundles
from tests.integration.conftest import SATO, agent_on
from tests.waiting import wait_for

Picture = Callable[..., bytes]


@dataclass
class Line:
    """The agent, and a place for hot folders."""

    services: Services
    place: Path
    names: list[str] = field(default_factory=list)

    def folder(self, name: str, **more: Any) -> Path:
        """A new hot folder whose files are due at once."""
        path = self.place / name
        path.mkdir()
        value = {"path": str(path), "settle_s": 0.0, "give_up_s": 0.0, "rescan_s": 0.2, **more}
        with self.services.database.write() as tx:
            settings.put(tx, f"folder.{name}", value, self.services.clock.now())
        self.services.folders.reload()
        return path

    def status(self, name: str) -> Any:
        return next(status for status in self.services.folders.status() if status.name == name)

    def images(self, *contents: bytes) -> list[dict[str, Any]]:
        """What the store has of these bytes, once every run is over."""
        marks = ",".join("?" * len(contents))
        sql = f"""SELECT i.sha256, i.state, i.session_id, s.status, s.source, s.final_result, t.serial_no,
                         t.batch_id, m.item_code, r.overall_result, r.sample_weight
                  FROM inspection_images i JOIN inspection_sessions s ON s.id = i.session_id
                  JOIN inspection_targets t ON t.id = s.target_id
                  JOIN inspection_items_master m ON m.id = i.item_id
                  LEFT JOIN ai_inspection_results r ON r.image_id = i.id
                  WHERE i.sha256 IN ({marks}) ORDER BY i.id"""

        def rows() -> list[dict[str, Any]]:
            with self.services.database.read() as reader:
                return [dict(row) for row in reader.execute(sql, [*map(digest, contents)])]

        wait_for(lambda: all(row["state"] != "inspecting" for row in rows()), rows)
        return rows()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def drop(folder: Path, name: str, data: bytes) -> None:
    """Under a passing name first, then in one step, as careful camera software does."""
    (folder / f"{name}.part").write_bytes(data)
    (folder / f"{name}.part").rename(folder / name)


def wait_empty(line: Line, *folders: Path) -> None:
    wait_for(
        lambda: not any(any(folder.iterdir()) for folder in folders),
        lambda: (
            [*map(str, (path for folder in folders for path in folder.iterdir()))],
            line.services.findings(),
        ),
    )


@contextmanager
def running_line(place: Path, **more: Any) -> Iterator[Line]:
    with agent_on(place / "data", **more) as services:
        look = {**bundles.ITEMS[0], "product_code": "DISC"}
        side = {**look, "item_code": "side", "item_name": "側面", "order_sequence": 2}
        documents = {
            "pipelines/front.json": bundles.pipeline(),
            "products.json": [bundles.PRODUCT, {**bundles.PRODUCT, "product_code": "DISC"}],
            "items.json": [*bundles.ITEMS, look, side],
        }
        bundle = bundles.write_bundle(place / "two-products", documents, version="1.1.0")
        services.masters.import_bundle(bundle, Actor("test"))
        yield Line(services, place)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(tmp_path_factory.mktemp("line")) as opened:
        yield opened


def test_several_folders_work_at_once_each_with_its_binding(line: Line, picture: Picture) -> None:
    fixed = line.folder("fixed", product="PLATE", item="look", session="auto")
    pattern = line.folder(
        "pattern",
        pattern=r"(?P<product>[A-Z]+)_(?P<item>[a-z]+)_(?P<serial>\w+)_(?P<lot>\w+)\.png",
        session="auto",
    )
    sidecar = line.folder("sidecar", sidecar=True, session="auto")
    plain, named, described = [picture() for _ in range(3)], [picture() for _ in range(3)], picture(0)
    for number, (one, other) in enumerate(zip(plain, named, strict=True)):
        drop(fixed, f"{number}.png", one)
        drop(pattern, f"DISC_{'side' if number else 'look'}_N{number}_L7.png", other)
    words = {"product": "DISC", "item": "side", "serial": "W1", "lot": 12}
    drop(sidecar, "x.png.json", json.dumps(words).encode())
    drop(sidecar, "x.png", described)
    wait_empty(line, fixed, pattern, sidecar)
    assert {(row["item_code"], row["serial_no"], row["overall_result"]) for row in line.images(*plain)} == {
        ("look", "", "OK")
    }
    assert [(row["item_code"], row["serial_no"], row["batch_id"]) for row in line.images(*named)] == [
        ("look", "N0", "L7"),
        ("side", "N1", "L7"),
        ("side", "N2", "L7"),
    ]
    [row] = line.images(described)
    assert (row["item_code"], row["serial_no"], row["batch_id"]) == ("side", "W1", "12")
    assert (row["overall_result"], row["source"]) == ("NG", "folder")


def test_files_wait_for_their_session_and_join_it(line: Line, picture: Picture) -> None:
    folder = line.folder("current", product="PLATE", item="look", pattern=r"(?P<serial>\w+)\.png")
    data = picture()
    drop(folder, "C1.png", data)
    wait_for(lambda: "folder-waiting" in {finding.code for finding in line.services.findings()})
    assert not line.images(data)
    view = line.services.sessions.start('{"product":"PLATE","serial":"C1"}', SATO)
    line.services.folders.reload()
    wait_empty(line, folder)
    [row] = line.images(data)
    assert (row["session_id"], row["source"], row["status"]) == (view.session.id, "inspector", "AI_COMPLETED")


def test_pictures_of_one_serial_number_from_two_folders_are_one_session(line: Line, picture: Picture) -> None:
    pattern = r"(?P<serial>\w+)\.png"
    front = line.folder("front", product="DISC", item="look", pattern=pattern, session="auto")
    side = line.folder("side", product="DISC", item="side", pattern=pattern, session="auto")
    pictures = [picture(), picture()]
    drop(front, "T1.png", pictures[0])
    drop(side, "T1.png", pictures[1])
    wait_empty(line, front, side)
    rows = line.images(*pictures)
    assert {row["item_code"] for row in rows} == {"look", "side"}
    assert len({row["session_id"] for row in rows}) == 1


def test_the_same_bytes_in_several_folders_are_taken_once(line: Line, picture: Picture) -> None:
    folders = [line.folder(f"twin-{n}", product="PLATE", item="look", session="auto") for n in range(3)]
    pictures = [picture() for _ in range(20)]
    for number, data in enumerate(pictures):
        for folder in folders:
            drop(folder, f"{number}.png", data)
            drop(folder, f"again-{number}.png", data)
    wait_empty(line, *folders)
    assert Counter(row["sha256"] for row in line.images(*pictures)) == Counter(map(digest, pictures))
    counts = [line.status(f"twin-{n}") for n in range(3)]
    assert (sum(one.taken for one in counts), sum(one.duplicates for one in counts)) == (20, 100)


def test_a_burst_of_files_is_taken_whole(line: Line, picture: Picture) -> None:
    folder = line.folder("burst", product="PLATE", item="look", session="auto")
    pictures = [picture(0 if number % 5 == 0 else 255) for number in range(300)]
    for number, data in enumerate(pictures):
        drop(folder, f"{number:03}.png", data)
    wait_empty(line, folder)
    found = {row["sha256"]: row for row in line.images(*pictures)}
    for number, data in enumerate(pictures):
        assert found[digest(data)]["overall_result"] == ("NG" if number % 5 == 0 else "OK")
    assert line.status("burst").taken == 300


def test_a_file_that_grows_slowly_is_taken_once_and_whole(line: Line, picture: Picture) -> None:
    """Written in pieces under its own name; between two pieces the agent looks several times."""
    folder = line.folder("slow", product="PLATE", item="look", session="auto", give_up_s=60.0)
    data = picture()
    pieces = [data[at : at + 30] for at in range(0, len(data), 30)]
    other = picture()
    with (folder / "slow.png").open("wb", buffering=0) as file:
        for number, piece in enumerate(pieces):
            file.write(piece)
            if number == len(pieces) // 2:
                drop(folder, "meanwhile.png", other)  # the folder's thread runs past the unfinished one
                wait_for(lambda: not (folder / "meanwhile.png").exists())
                assert not line.images(data)
    wait_empty(line, folder)
    assert len(line.images(data)) == 1
    assert len(line.images(other)) == 1
    assert not [entry for entry in line.services.folders.quarantined() if entry.folder == "slow"]


def test_what_was_set_aside_is_taken_when_it_is_put_right(line: Line, picture: Picture) -> None:
    folder = line.folder("sorted", pattern=r"(?P<product>\w+)-(?P<item>\w+)\.png", session="auto")
    data, known = picture(), picture()
    drop(folder, "CUBE-look.png", data)
    drop(folder, "anything.png", known)
    wait_empty(line, folder)
    entries = {entry.name: entry for entry in line.services.folders.quarantined("sorted")}
    assert {name: entry.code for name, entry in entries.items()} == {
        "CUBE-look.png": "unknown-product",
        "anything.png": "name-unmatched",
    }
    assert not line.images(data, known)
    bundle = bundles.write_bundle(
        line.place / "cube",
        {
            "pipelines/front.json": bundles.pipeline(),
            "products.json": [{**bundles.PRODUCT, "product_code": "CUBE"}],
            "items.json": [{**bundles.ITEMS[0], "product_code": "CUBE"}],
        },
        version="1.2.0",
    )
    line.services.masters.import_bundle(bundle, Actor("test"))
    line.services.folders.retry(entries["CUBE-look.png"].id)
    wait_empty(line, folder)
    [row] = line.images(data)
    assert row["overall_result"] == "OK"
    line.services.folders.retry(entries["anything.png"].id)
    wait_for(lambda: [*line.services.folders.quarantined("sorted")] and not any(folder.iterdir()))
    [again] = line.services.folders.quarantined("sorted")
    assert (again.name, again.code) == ("anything.png", "name-unmatched")
    assert again.path.read_bytes() == known


def test_an_accepted_ok_completes_its_session_and_nothing_else_does(line: Line, picture: Picture) -> None:
    folder = line.folder(
        "accept",
        product="DISC",
        pattern=r"(?P<item>\w+)_(?P<serial>\w+)\.png",
        session="auto",
        accept_ai_ok=True,
    )
    good, half, bad = [picture(), picture()], [picture()], [picture(), picture(0)]
    for serial, contents in (("G", good), ("H", half), ("B", bad)):
        for item, data in zip(("look", "side"), contents, strict=False):
            drop(folder, f"{item}_{serial}.png", data)
    wait_empty(line, folder)
    states = [
        {(row["status"], row["final_result"]) for row in line.images(*some)} for some in (good, half, bad)
    ]
    assert states == [{("COMPLETED", "OK")}, {("IN_PROGRESS", None)}, {("AI_COMPLETED", None)}]


def test_pictures_sampled_for_review_keep_their_session_open(tmp_path: Path, picture: Picture) -> None:
    with running_line(tmp_path, review_share=1.0) as line:
        folder = line.folder(
            "accept",
            product="DISC",
            pattern=r"(?P<item>\w+)_(?P<serial>\w+)\.png",
            session="auto",
            accept_ai_ok=True,
        )
        pictures = [picture(), picture()]
        for item, data in zip(("look", "side"), pictures, strict=True):
            drop(folder, f"{item}_S.png", data)
        wait_empty(line, folder)
        rows = line.images(*pictures)
        assert {(row["overall_result"], row["sample_weight"], row["status"]) for row in rows} == {
            ("OK", 1.0, "AI_COMPLETED")
        }
        with line.services.database.read() as reader:
            assert (
                reader.execute("SELECT count(*) FROM item_verdicts WHERE review = 'SAMPLED'").fetchone()[0]
                == 2
            )


def test_a_folder_that_goes_away_and_comes_back_goes_on(line: Line, picture: Picture) -> None:
    """A network share that is lost for a while."""
    folder = line.folder("share", product="PLATE", item="look", session="auto")
    away = folder.with_name("share-away")
    folder.rename(away)
    line.services.folders.reload()
    wait_for(lambda: "folder-unavailable" in {finding.code for finding in line.services.findings()})
    data = picture()
    drop(away, "a.png", data)
    away.rename(folder)
    wait_empty(line, folder)
    assert len(line.images(data)) == 1
    wait_for(lambda: "folder-unavailable" not in {finding.code for finding in line.services.findings()})


def test_the_installation_is_sound_after_all_this(line: Line) -> None:
    wait_for(lambda: line.services.pool.state.running == 0)

    def found() -> list[Finding]:
        with line.services.database.read() as reader:
            return [*run_check(line.services.config, reader, now_s=0.0)]

    wait_for(lambda: not found(), found)  # what was drawn of a picture not kept goes a little later
