"""Every command that asks the agent, on a whole agent in this process: what people see, what programs get.

Rules of this file:
- One agent serves all tests, as one daemon serves all commands; each test works on data of its own.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from edge_agent.api.app import create_app
from edge_agent.cli import options, status, upkeep
from edge_agent.cli.connection import LOCAL, Connection
from edge_agent.cli.exits import Exit
from edge_agent.cli.in_process import in_process
from edge_agent.cli.main import run
from edge_agent.store import uploads
from tests import bundles
from tests.api_agent import PASSWORD, Agent, make_bundle, open_agent, png
from tests.waiting import wait_for

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with open_agent(tmp_path_factory.mktemp("data")) as opened:
        yield opened


@pytest.fixture(scope="module")
def connection(agent: Agent) -> Iterator[Connection]:
    with asyncio.Runner() as runner:
        transport = in_process(create_app(agent.services), runner)
        with httpx.Client(base_url=LOCAL, transport=transport) as client:
            yield Connection(client, True, agent.services.install_token)


@pytest.fixture
def ask(connection: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a command with --json; its exit code and the document it printed (the error's, if it failed)."""

    @contextmanager
    def connect(_config: object) -> Iterator[Connection]:
        yield connection

    for module in (options, status, upkeep):
        monkeypatch.setattr(module, "connect", connect)
    for module in (status, upkeep):
        monkeypatch.setattr(module, "running_url", lambda _data_dir: LOCAL)

    def asking(*arguments: str | Path, stdin: str = "") -> tuple[int, Any]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        words = [str(argument) for argument in arguments]
        human = (
            run(words) if arguments[0] in ("status", "check", "sync") and "export" not in arguments else None
        )
        capsys.readouterr()
        code = run([*words, "--json"])
        shown = capsys.readouterr()
        assert human in (None, code)
        return code, json.loads(shown.out or shown.err.splitlines()[-1])

    return asking


def error_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def write(path: Path, brightness: int, salt: int) -> Path:
    path.write_bytes(png(brightness, salt=salt))
    return path


# ── inspecting ──────────────────────────────────────────────────────────────────────────────────────────


def test_inspect_judges_every_picture_once(ask: Ask, tmp_path: Path) -> None:
    bright, dark = write(tmp_path / "bright.png", 255, 1), write(tmp_path / "dark.png", 0, 1)
    code, first = ask("inspect", bright, dark, "--item", "PLATE/look")
    assert code == 0
    assert [row["verdict"] for row in first["images"]] == ["OK", "NG"]
    code, again = ask("inspect", bright, dark, "--item", "PLATE/look", "--fail-on-ng")
    assert code == Exit.FINDINGS
    assert [row["image_id"] for row in again["images"]] == [row["image_id"] for row in first["images"]]
    assert {row["note"] for row in again["images"]} == {"already here"}


def test_a_bad_picture_does_not_keep_the_others(ask: Ask, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n garbage")
    good, missing = write(tmp_path / "good.png", 255, 2), tmp_path / "missing.png"
    code, document = ask("inspect", broken, good, missing, "--item", "PLATE/look")
    assert code == Exit.BAD_INPUT
    assert [row["verdict"] for row in document["images"]] == [None, "OK", None]
    assert document["images"][2]["code"] == "file-unreadable"


def test_inspect_of_what_people_judge_is_no_failure(ask: Ask, tmp_path: Path) -> None:
    code, document = ask("inspect", write(tmp_path / "led.png", 9, 3), "--item", "PLATE/led")
    assert (code, document["images"][0]["verdict"]) == (0, None)
    assert document["images"][0]["note"] == "this item is judged by people"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("PLATE", (Exit.BAD_INPUT, "bad-item")),
        ("PLATE/nope", (Exit.NOT_FOUND, "unknown-item")),
        ("NOPE/look", (Exit.NOT_FOUND, "unknown-product")),
    ],
)
def test_inspect_says_what_it_does_not_know(
    ask: Ask, tmp_path: Path, item: str, expected: tuple[int, str]
) -> None:
    assert error_of(ask("inspect", write(tmp_path / "a.png", 1, 4), "--item", item)) == expected


def test_a_session_from_scan_to_result(ask: Ask, tmp_path: Path) -> None:
    code, body = ask("session", "start", "PLATE", "--serial", "S-1", "--lot", "L-1")
    session = body["session"]["id"]
    assert (code, body["missing"], body["target"]["serial_no"]) == (0, ["look", "led"], "S-1")
    ask("inspect", write(tmp_path / "a.png", 255, 5), "--item", "PLATE/look", "--session", session)
    assert error_of(ask("session", "complete", session)) == (Exit.CONFLICT, "session-incomplete")
    look = ("session", "verify", session, "--item", "look", "--result", "OK", "--as", "mika")
    assert error_of(ask(*look, stdin="wrong\n"))[0] == Exit.DENIED
    code, body = ask(*look, stdin=f"{PASSWORD}\n")
    assert (code, body["missing"]) == (0, ["led"])
    led = ("--item", "led", "--result", "NG", "--reason", "dark", "--check", "led=false")
    assert ask("session", "verify", session, *led, "--as", "mika", stdin=f"{PASSWORD}\n")[0] == 0
    code, body = ask("session", "complete", session, "--as", "mika", stdin=f"{PASSWORD}\n")
    assert (code, body["session"]["status"], body["session"]["final_result"]) == (0, "COMPLETED", "NG")
    trace = ask("session", "show", session, "--trace")[1]
    assert [one["checks"] for one in trace["verifications"]] == [None, {"led": False}]
    assert ask("session", "show", session)[1]["session"] == trace["session"]
    listed = ask("session", "list", "--product", "PLATE", "--status", "COMPLETED", "--since", "2020-01-01")[1]
    assert session in {one["id"] for one in listed["sessions"]}


@pytest.mark.parametrize(("command", "status"), [("cancel", "CANCELLED"), ("fail", "FAILED")])
def test_ending_a_session_without_a_result(ask: Ask, command: str, status: str) -> None:
    session = ask("session", "start", f'{{"product":"PLATE","serial":"{command}"}}')[1]["session"]["id"]
    code, body = ask("session", command, session, "--reason", "dropped")
    assert (code, body["session"]["status"]) == (0, status)
    assert error_of(ask("session", command, session, "--reason", "again"))[0] == Exit.CONFLICT
    assert error_of(ask("session", "show", "../users"))[0] in (Exit.BAD_INPUT, Exit.NOT_FOUND)


# ── masters and models ──────────────────────────────────────────────────────────────────────────────────


def test_a_bundle_in_and_out(ask: Ask, tmp_path: Path) -> None:
    code, report = ask("master", "import", make_bundle(tmp_path / "same"))
    assert (code, report["counts"]["products"]["unchanged"]) == (0, 1)
    code, facts = ask("master", "export", tmp_path / "out.zip")
    assert code == 0
    with zipfile.ZipFile(facts["file"]) as archive:
        assert {"bundle.json", "products.json"} <= set(archive.namelist())
        assert "users.json" not in archive.namelist()
    assert ask("master", "import", tmp_path / "out.zip", "--dry-run")[0] == 0
    assert error_of(ask("master", "export", tmp_path / "out.zip")) == (Exit.BAD_INPUT, "file-unreadable")


def test_a_bad_bundle_lists_every_problem(ask: Ask, tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {**bundles.ITEMS[0], "pipeline": "nowhere"},
        {**bundles.ITEMS[1], "order_sequence": -1},
    ]
    bundle = bundles.write_bundle(tmp_path / "bad", {"items.json": items})
    code, report = ask("master", "import", bundle, "--dry-run")
    places = {(one["file"], one["pointer"]) for one in report["problems"]}
    assert code == Exit.BAD_INPUT
    assert {("items.json", "/0/pipeline"), ("items.json", "/1/order_sequence")} <= places
    code, document = ask("master", "import", bundle)
    assert (code, document["error"]["code"]) == (Exit.BAD_INPUT, "bad-definition")
    assert any(line.startswith("items.json#/0/pipeline: ") for line in document["error"]["problems"])


def test_what_is_in_force(ask: Ask) -> None:
    assert ask("master", "status")[1]["running"] == ["front"]
    assert [one["product_code"] for one in ask("master", "products")[1]["products"]] == ["PLATE"]
    assert [one["item_code"] for one in ask("master", "products", "PLATE")[1]["items"]] == ["look", "led"]
    assert error_of(ask("master", "products", "N/P"))[1] == "no-such-path"
    assert error_of(ask("master", "products", "NP")) == (Exit.NOT_FOUND, "unknown-product")


def test_a_model_installed_put_in_force_and_back(ask: Ask, tmp_path: Path) -> None:
    package = bundles.write_model(tmp_path / "models", "2.0.0")
    code, model = ask("model", "install", package)
    assert (code, model["version"], model["is_active"]) == (0, "2.0.0", False)
    assert ask("model", "test", "bright", "2.0.0")[1]["agrees"] is True
    assert ask("model", "activate", "bright", "2.0.0")[1]["is_active"] is True
    assert ask("model", "rollback", "bright")[1]["version"] == "1.0.0"
    versions = {one["version"]: one["is_active"] for one in ask("model", "list")[1]["models"]}
    assert versions == {"1.0.0": True, "2.0.0": False}
    assert error_of(ask("model", "activate", "bright", "9"))[0] == Exit.NOT_FOUND
    (tmp_path / "no.zip").write_bytes(b"nothing")
    assert error_of(ask("model", "install", tmp_path / "no.zip"))[0] == Exit.BAD_INPUT


# ── folders, cameras, calibration ───────────────────────────────────────────────────────────────────────


def test_a_hot_folder_and_its_quarantine(ask: Ask, tmp_path: Path, connection: Connection) -> None:
    (tmp_path / "readme.txt").write_text("no picture")
    place = ("folder", "add", "line-1", tmp_path, "--product", "PLATE", "--item", "look")
    quick = ("--settle-s", "0", "--give-up-s", "0", "--rescan-s", "0.1")
    code, config = ask(*place, "--session", "auto", *quick)
    assert (code, config["path"]) == (0, str(tmp_path))

    def set_aside() -> list[Any]:
        entries: list[Any] = connection.get("/folders/quarantine")["entries"]
        return entries

    wait_for(set_aside)
    assert ask("folder", "list")[1]["folders"][0]["config"]["name"] == "line-1"
    assert ask("folder", "quarantine", "list", "--folder", "line-1")[1]["count"] == 1
    entry = set_aside()[0]["id"]
    assert error_of(ask("folder", "quarantine", "discard", entry)) == (Exit.BAD_INPUT, "not-confirmed")
    assert ask("folder", "quarantine", "retry", entry)[1]["name"] == "readme.txt"
    wait_for(set_aside)
    assert ask("folder", "quarantine", "discard", set_aside()[0]["id"], "--yes")[0] == 0
    assert list(tmp_path.iterdir()) == []
    assert ask("folder", "remove", "line-1") == (0, {"removed": "line-1"})
    assert error_of(ask("folder", "remove", "line-1")) == (Exit.NOT_FOUND, "unknown-folder")
    assert error_of(ask("folder", "add", "Bad Name", tmp_path, "--sidecar"))[0] == Exit.BAD_INPUT


def test_a_camera_takes_a_picture_and_is_calibrated(ask: Ask, tmp_path: Path, connection: Connection) -> None:
    board = ("--columns", "8", "--rows", "6", "--square-mm", "10")
    ask("calibrate", "board", tmp_path / "board.png", *board, "--dpi", "127")
    media = Path(connection.get("/system/info")["data_dir"]) / "media"
    media.mkdir(exist_ok=True)
    picture = cv2.imread(str(tmp_path / "board.png"))
    assert picture is not None
    frame = np.ascontiguousarray(cv2.resize(picture, (500, 400), interpolation=cv2.INTER_AREA))
    film = cv2.VideoWriter(str(media / "cam.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (500, 400))
    for _ in range(50):
        film.write(frame)
    film.release()
    code, added = ask("camera", "add", "cam1", media / "cam.avi", "--warmup-frames", "0")
    assert (code, added["name"]) == (0, "cam1")
    assert ask("camera", "capture", "cam1", tmp_path / "shot")[0] == 0
    assert (tmp_path / "shot").stat().st_size > 1000
    code, result = ask("calibrate", "--camera", "cam1", *board, "--name", "cli-cam", "--accept-warnings")
    assert (code, result["is_stored"]) == (0, True)
    stored = {one["name"]: one for one in ask("calibrate", "list")[1]["calibrations"]}["cli-cam"]
    assert stored["um_per_px"] == result["um_per_px"] == pytest.approx(200, rel=0.01)
    assert stored["valid_until"] == result["valid_until"]
    assert ask("camera", "list")[1]["cameras"][0]["name"] == "cam1"
    assert ask("camera", "remove", "cam1") == (0, {"removed": "cam1"})
    assert error_of(ask("camera", "capture", "cam1", tmp_path / "none")) == (Exit.NOT_FOUND, "unknown-camera")
    assert error_of(ask("camera", "add", "bad", "ftp://x/y"))[0] == Exit.BAD_INPUT


def test_a_doubtful_calibration_is_not_stored(ask: Ask, tmp_path: Path) -> None:
    board = ("--columns", "8", "--rows", "6", "--square-mm", "10")
    ask("calibrate", "board", tmp_path / "board.png", *board, "--dpi", "127")
    picture = cv2.imread(str(tmp_path / "board.png"))
    assert picture is not None
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    tilted = corners * np.array([1, 0.9], np.float32) + np.array(
        [[20, 0], [-20, 0], [0, 0], [0, 0]], np.float32
    )
    matrix = cv2.getPerspectiveTransform(corners, tilted)
    cv2.imwrite(str(tmp_path / "tilted.png"), cv2.warpPerspective(picture, matrix, (width, height)))
    code, document = ask("calibrate", tmp_path / "tilted.png", *board, "--name", "doubtful")
    assert (code, document["is_stored"]) == (Exit.FINDINGS, False)
    assert "board-tilted" in {one["code"] for one in document["warnings"]}
    assert "doubtful" not in {one["name"] for one in ask("calibrate", "list")[1]["calibrations"]}


# ── people, audit, upkeep ───────────────────────────────────────────────────────────────────────────────


def test_people_come_and_go(ask: Ask, connection: Connection) -> None:
    new = ("user", "add", "hana", "--role", "inspector", "--full-name", "花")
    code, user = ask(*new, stdin="first password\n")
    assert (code, user["role"], "password" in json.dumps(user)) == (0, "inspector", False)
    assert error_of(ask(*new, stdin="x\n"))[0] in (Exit.CONFLICT, Exit.BAD_INPUT)
    assert ask("user", "passwd", "hana", stdin="second password\n")[0] == 0
    with connection.logged_in("hana", "second password") as personal:
        assert personal.get("/auth/me")["name"] == "hana"
    assert ask("user", "disable", "hana")[1]["is_active"] is False
    assert (
        error_of(ask("session", "start", "PLATE", "--as", "hana", stdin="second password\n"))[0]
        == Exit.DENIED
    )
    assert ask("user", "enable", "hana")[1]["is_active"] is True
    assert "hana" in {one["username"] for one in ask("user", "list")[1]["users"]}
    assert error_of(ask("user", "disable", "nobody")) == (Exit.NOT_FOUND, "unknown-user")


def test_the_audit_trail_is_whole(ask: Ask) -> None:
    code, proof = ask("audit", "verify")
    assert (code, proof["is_whole"]) == (0, True)
    assert proof["entries"] > 0
    page = ask("audit", "list", "--limit", "3")[1]
    assert [one["seq"] for one in page["entries"]] == sorted(
        (e["seq"] for e in page["entries"]), reverse=True
    )
    assert error_of(ask("audit", "list", "--entity", "users"))[0] == Exit.BAD_INPUT


def test_status_says_what_a_technician_asks_first(ask: Ask) -> None:
    code, document = ask("status")
    assert code == 0
    assert document["is_running"] is True
    assert document["masters"]["running"] == ["front"]
    assert document["inference"]["state"] in ("starting", "ok")
    assert document["disk"]["is_enough"] is True


def test_check_backup_and_restore(ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("check") == (0, {"findings": []})
    code, made = ask("backup", "--to", tmp_path / "disk")
    assert (code, Path(made["folder"]).parent) == (0, tmp_path / "disk")
    target = ("--data-dir", str(tmp_path / "new"))
    assert run([*target, "restore", made["folder"], "--yes", "--json"]) == 0
    restored = json.loads(capsys.readouterr().out)
    assert (restored["files"], restored["replaced"]) == (made["files"], None)
    assert error_of(ask("backup", "--to", "/proc/nowhere"))[0] == Exit.UNAVAILABLE


def test_a_backup_is_not_made_among_the_data(ask: Ask, connection: Connection) -> None:
    inside = Path(connection.get("/system/info")["data_dir"]) / "images"
    assert error_of(ask("backup", "--to", inside)) == (Exit.BAD_INPUT, "backup-folder")


# ── synchronisation ─────────────────────────────────────────────────────────────────────────────────────


def test_sync_status_and_queue_without_a_server(ask: Ask, tmp_path: Path) -> None:
    ask("inspect", write(tmp_path / "waits.png", 255, 91), "--item", "PLATE/look")
    code, document = ask("sync", "status")
    assert (code, document["summary"], document["is_configured"]) == (0, "not-enrolled", False)
    assert document["images"]["bytes"] > 0
    code, page = ask("sync", "queue", "--table", "inspection_images", "--limit", "1")
    assert code == 0
    assert [one["entity_type"] for one in page["entries"]] == ["inspection_images"]
    assert page["next_after_id"] == page["entries"][0]["id"]


def test_a_photograph_given_up_is_shown_with_its_reason_and_tried_again(ask: Ask, agent: Agent) -> None:
    given_up = uploads.Trouble("ab" * 32, "image-missing", "images/x.png is not there.", None)
    with agent.services.database.write() as tx:
        uploads.note(tx, [given_up], agent.services.clock.now())
    [shown] = ask("sync", "dead", "list")[1]["images"]
    assert (shown["sha256"], shown["error_code"], shown["error_detail"]) == (
        given_up.sha256,
        given_up.code,
        given_up.detail,
    )
    assert ask("sync", "dead", "list", "--code", "image-changed")[1]["images"] == []
    assert ask("sync", "dead", "retry", "--code", "image-missing")[0] == 0
    assert ask("sync", "dead", "list")[1]["images"] == []


def test_dead_letters_from_the_command_line(ask: Ask, tmp_path: Path) -> None:
    assert ask("sync", "dead", "list")[1]["entries"] == []
    assert error_of(ask("sync", "dead", "show", "1")) == (Exit.NOT_FOUND, "unknown-dead-letter")
    assert error_of(ask("sync", "dead", "retry")) == (Exit.BAD_INPUT, "retry-unclear")
    assert error_of(ask("sync", "dead", "retry", "1", "--all")) == (Exit.BAD_INPUT, "retry-unclear")
    assert ask("sync", "dead", "retry", "--all") == (0, {"queued": 0})
    assert ask("sync", "dead", "export", tmp_path / "dead.json")[1]["dead_letters"] == 0
    exported = json.loads((tmp_path / "dead.json").read_text("utf-8"))
    assert (exported["dead_letters"], exported["images"]) == ([], [])
    assert ask("sync", "conflicts") == (0, {"conflicts": [], "next_cursor": None})
    missing = ask("sync", "conflicts", "--resolve", "0" * 8 + "-0000-0000-0000-" + "0" * 12)
    assert error_of(missing) == (Exit.NOT_FOUND, "unknown-conflict")


def test_long_work_without_a_server_says_what_is_missing(ask: Ask, tmp_path: Path) -> None:
    needs_server = [
        ("sync", "now"),
        ("sync", "verify"),
        ("sync", "repair", "--dry-run"),
        ("sync", "resync", "--all"),
    ]
    for command in [*needs_server, ("sync", "export", tmp_path / "queue.zip")]:
        assert error_of(ask(*command)) == (Exit.CONFLICT, "not-enrolled"), command
    assert error_of(ask("sync", "resync")) == (Exit.BAD_INPUT, "resync-unclear")
    assert error_of(ask("sync", "resync", "--table", "nothing")) == (Exit.BAD_INPUT, "unknown-table")
    (tmp_path / "queue.zip.ack").write_bytes(b"not an answer")
    assert error_of(ask("sync", "import-ack", tmp_path / "queue.zip.ack")) == (Exit.CONFLICT, "not-enrolled")
    assert list(tmp_path.glob("queue.zip")) == []


def test_a_pause_is_kept_until_it_is_ended(ask: Ask) -> None:
    assert ask("sync", "pause") == (0, {"is_paused": True})
    assert ask("sync", "status")[1]["is_paused"] is True
    assert error_of(ask("sync", "now")) == (Exit.CONFLICT, "sync-paused")
    assert ask("sync", "resume") == (0, {"is_paused": False})
    assert ask("sync", "status")[1]["is_paused"] is False
