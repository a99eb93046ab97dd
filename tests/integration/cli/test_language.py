"""Commands tell people what is wrong in the language of their terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge_agent.cli.language import spoken
from edge_agent.cli.main import run
from tests.acceptance.program import daemon

NOBODY = "0193a0f0-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "ja_JP"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "EDGE_AGENT_LANG": "en"}, "en"),
        ({"LANG": "C.UTF-8", "LC_ALL": ""}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_first_variable_that_is_set_says_the_language(environ: dict[str, str], language: str) -> None:
    assert spoken(environ) == language


def test_where_no_variable_is_set_the_operating_system_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getlocale", lambda: ("Japanese_Japan", "932"))
    assert spoken({}) == "ja"
    monkeypatch.setattr("locale.getlocale", lambda: (None, None))
    assert spoken({}) == "en"


def test_an_error_says_in_japanese_what_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    english, code = said(["--data-dir", str(tmp_path), "check"], capsys)
    monkeypatch.setenv("EDGE_AGENT_LANG", "ja")
    japanese, same = said(["--data-dir", str(tmp_path), "check"], capsys)
    assert (code, english.isascii()) == (same, True)
    assert "[no-installation]" in english
    assert "[no-installation]" in japanese
    title, hint = japanese.split(f"There is no installation in {tmp_path}. [no-installation]")
    assert not title.isascii()
    assert not hint.isascii()
    wrong, _ = said(["--data-dir", str(tmp_path), "nope"], capsys)
    assert not wrong.partition("[usage]")[2].isascii()


def test_what_the_running_agent_says_comes_in_that_language_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--data-dir", str(tmp_path / "data")]
    with daemon(tmp_path / "data"):
        monkeypatch.setenv("EDGE_AGENT_LANG", "ja")
        refused, _ = said([*place, "session", "show", NOBODY], capsys)
        title, hint = re.split(r"\[[a-z-]+\]", refused)
        assert not title.isascii()
        assert not hint.isascii()
        assert run([*place, "status", "--json"]) in (0, 9)
        found = json.loads(capsys.readouterr().out)["findings"]
    assert all(not one["hint"].isascii() for one in found)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, int]:
    """What the command complained of, and its exit code."""
    code = run(arguments)
    return capsys.readouterr().err, code
