"""`central-server product put` and its like, on a real database and object store."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from central_server.cli.kinds import COLUMNS
from central_server.cli.main import run
from central_server.store.migrations import migrate
from edge_agent.cli.exits import Exit
from edge_agent.clock import Clock
from tests.bundles import pipeline, write_bundle, write_model
from tests.servers import StoreServer

Cli = Callable[..., tuple[int, Any]]


@pytest.fixture
def cli(
    empty_url: str,
    store_server: StoreServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """Runs one command with --json: its exit code, and what it printed (an error's document if it failed)."""
    migrate(empty_url)
    settings = {
        "DATA_DIR": str(tmp_path / "centre"),
        "DATABASE_URL": empty_url,
        "S3_ENDPOINT": store_server.url,
        "S3_ACCESS_KEY": store_server.access_key,
        "S3_SECRET_KEY": store_server.secret_key,
        "S3_BUCKET": "masters-cli",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"CENTRAL_SERVER_{name}", value)
    _bucket(store_server)

    def command(*arguments: object, stdin: str = "") -> tuple[int, Any]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = run([*map(str, arguments), "--json"])
        printed = capsys.readouterr()
        document = json.loads(printed.out) if printed.out else json.loads(printed.err)["error"]
        return code, document

    return command


def _bucket(server: StoreServer) -> None:
    from central_server.objects import Objects, StoreSettings

    made = Objects(StoreSettings(server.url, "masters-cli", server.access_key, server.secret_key), Clock())
    made.prepare()
    made.close()


PRODUCT = {"product_code": "PLATE", "product_name": "金属板", "version": "1"}


def test_a_document_goes_in_comes_out_and_goes_in_again(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "product.json"
    file.write_text(json.dumps(PRODUCT))
    assert cli("product", "put", file)[0] == Exit.DONE
    code, shown = cli("product", "show", "PLATE")
    assert (code, shown["product_name"]) == (Exit.DONE, "金属板")
    assert (
        cli("product", "put", "-", stdin=json.dumps({**shown, "product_name": "new"}))[1]["product_name"]
        == "new"
    )
    code, error = cli("product", "put", "-", stdin=json.dumps(shown))
    assert (code, error["code"]) == (Exit.CONFLICT, "version-differs")
    assert cli("product", "put", "-", "--force", stdin=json.dumps(shown))[0] == Exit.DONE
    assert cli("product", "deactivate", "PLATE")[1]["is_active"] is False
    assert cli("product", "list")[1] == {"products": []}
    assert len(cli("product", "list", "--all")[1]["products"]) == 1
    assert cli("product", "activate", "PLATE")[1]["is_active"] is True


def test_everything_wrong_is_listed(cli: Cli) -> None:
    code, error = cli("product", "put", "-", stdin=json.dumps({"product_code": "X", "version": 1}))
    assert (code, len(error["problems"])) == (Exit.BAD_INPUT, 2)
    for stdin in ("{}", "[]", "no json"):
        assert cli("product", "put", "-", stdin=stdin)[0] == Exit.BAD_INPUT
    assert cli("item", "show", "PLATE")[1]["code"] == "bad-key"
    assert cli("item", "show", "PLATE/none")[0] == Exit.NOT_FOUND


def test_what_is_wrong_is_said_in_the_language_of_the_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGE_AGENT_LANG", "ja")
    assert run(["product", "show", "NOTHING"]) != Exit.DONE
    title, hint = re.split(r"\[[a-z-]+\]", capsys.readouterr().err)
    assert not title.isascii()
    assert not hint.isascii()


def test_a_line_is_set_up_by_hand(cli: Cli, tmp_path: Path) -> None:
    code, model = cli("model", "install", write_model(tmp_path / "m"))
    assert (code, model["is_active"]) == (Exit.DONE, True)
    definition = {"definition": pipeline(version=None), "name": "正面"}
    assert cli("pipeline", "put", "-", stdin=json.dumps(definition))[0] == Exit.DONE
    assert cli("product", "put", "-", stdin=json.dumps(PRODUCT))[0] == Exit.DONE
    item = {
        **{"product_code": "PLATE", "item_code": "look", "item_name": "外観", "inspection_type": "VISUAL"},
        **{"ai_enabled": True, "pipeline": "front", "order_sequence": 1, "required": True},
        "criteria": {"type": "VISUAL", "rule": "class", "accept": ["bright"], "conf_min": 0.8},
    }
    assert cli("item", "put", "-", stdin=json.dumps(item))[0] == Exit.DONE
    code, error = cli("model", "deactivate", "bright/1.0.0")
    assert (code, error["code"]) == (Exit.BAD_INPUT, "bad-definition")
    template = tmp_path / "t.png"
    template.write_bytes(b"picture")
    assert cli("asset", "put", template)[1]["size"] == len(b"picture")
    out = tmp_path / "out.zip"
    assert "models/bright-1.0.0/model.onnx" in cli("master", "export", out)[1]["files"]
    assert cli("master", "import", out, "--dry-run")[1]["problems"] == []


def test_a_bundle_with_faults_is_exit_3_and_no_row(cli: Cli, tmp_path: Path, empty_url: str) -> None:
    bundle = write_bundle(tmp_path / "b", {"pipelines/front.json": pipeline(version="8.0.0")})
    code, report = cli("master", "import", bundle, "--dry-run")
    assert code == Exit.BAD_INPUT
    assert {one["code"] for one in report["problems"]} >= {"missing-model"}
    assert cli("master", "import", bundle)[0] == Exit.BAD_INPUT
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT count(*) FROM pipelines").fetchone() == (0,)
    assert cli("master", "import", write_bundle(tmp_path / "good"))[0] == Exit.DONE


def test_every_kind_is_listed(cli: Cli) -> None:
    for kind in COLUMNS:
        assert cli(kind, "list") == (Exit.DONE, {f"{kind}s": []})


def test_the_counts_are_checked_and_made_again(cli: Cli, empty_url: str) -> None:
    assert cli("counts", "check") == (Exit.DONE, {"faults": []})
    with psycopg.connect(empty_url) as connection:
        connection.execute("INSERT INTO reason_counts SELECT 'D', 0, false, now(), 'd', i, i, i, 'x', 3 "
                           "FROM gen_random_uuid() AS i")  # fmt: skip
    code, found = cli("counts", "check")
    assert (code, [fault["stored"] for fault in found["faults"]]) == (Exit.DAMAGED, ["3"])
    assert cli("counts", "rebuild")[0] == Exit.DONE
    assert cli("counts", "check")[0] == Exit.DONE


def test_an_import_shows_a_person_how_far_it_is(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_bundle(tmp_path / "b")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert run(["master", "import", str(bundle)]) == Exit.DONE
    shown = capsys.readouterr()
    assert "Importing: models" in shown.err
    assert "Imported" in shown.out
