"""The commands of upkeep, on a whole agent: people, audit, backups, synchronisation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.cli.connection import Connection
from edge_agent.cli.exits import Exit
from edge_agent.cli.main import run
from edge_agent.store import uploads
from tests.api_agent import Agent
from tests.integration.cli.conftest import Ask, error_of, write

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
