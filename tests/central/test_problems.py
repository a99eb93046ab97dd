"""The centre's errors as people read them: every code in both languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import central_server
from central_server.api.problems import problem_response, translated
from central_server.errors import Refused, Unavailable
from central_server.masters.resources import KINDS
from central_server.messages import catalogue
from edge_agent.errors import Conflict
from edge_agent.messages import LANGUAGES, read_catalogue
from sync_protocol.codes import CODES
from sync_protocol.wire import TooLarge
from tests.error_codes import codes_of

PACKAGE = Path(central_server.__file__).parent
USED = codes_of(PACKAGE).keys() | CODES.keys() | {f"unknown-{kind}" for kind in KINDS}


def told(error: Exception, language: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bytes(problem_response(error, language).body))
    return document


def test_every_code_has_a_message_in_both_languages() -> None:
    assert USED - catalogue().keys() == set()
    assert read_catalogue("central_server").keys() - USED == set(), "nobody says these any more"
    for code, by_language in read_catalogue("central_server").items():
        assert set(by_language) == set(LANGUAGES), code
        for word in ("title", "hint"):
            assert getattr(by_language["en"], word).isascii(), code
            assert not getattr(by_language["ja"], word).isascii(), code


def test_the_scan_of_the_source_finds_codes_of_every_kind() -> None:
    assert {"device-revoked", "database-newer", "version-differs", "taken", "object-damaged"} <= USED
    assert codes_of(PACKAGE).keys() >= {"pull-reset", "throttled", "last-admin"}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_of_the_protocol_is_told_in_the_language_asked_for(code: str) -> None:
    japanese, english = (told(Refused(code, "detail"), language) for language in ("ja-JP,ja;q=0.9", ""))
    assert japanese["code"] == english["code"] == code
    assert not japanese["title"].isascii()
    assert english["title"] == catalogue()[code]["en"].title
    assert english["hint"] == catalogue()[code]["en"].hint


def test_a_more_exact_hint_is_told_in_english() -> None:
    error = Unavailable("database-unavailable", "PostgreSQL 13 is too old.", hint="Use PostgreSQL 14.")
    assert told(error, "en")["hint"] == "Use PostgreSQL 14."
    assert told(error, "ja")["hint"] == catalogue()["database-unavailable"]["ja"].hint


def test_what_the_edges_code_refuses_is_told_in_its_words() -> None:
    error = Conflict("v1 is here with other content.", code="version-exists")
    assert told(error, "ja")["title"] == "この版は導入済みです"
    assert told(translated(TooLarge("x")), "ja")["title"] == "リクエストが大きすぎます"


def test_a_code_nobody_agreed_on_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Refused("never-heard-of", "detail")
