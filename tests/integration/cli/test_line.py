"""The commands of the line, on a whole agent: inspecting, masters, folders, cameras; what people see."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.cli.connection import Connection
from edge_agent.cli.exits import Exit
from tests import bundles
from tests.api_agent import PASSWORD, make_bundle
from tests.integration.cli.conftest import Ask, error_of, write
from tests.waiting import wait_for

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
