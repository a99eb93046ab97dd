"""Errors as people and programs read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

import edge_agent
from edge_agent.api.problems import MEDIA_TYPE, from_http, from_validation, problem_response, status_of
from edge_agent.errors import AgentError, BadDefinition, BadImage, Denied, Problem, Unavailable
from edge_agent.messages import LANGUAGES, catalogue, choose_language, findings_in_japanese, in_language
from edge_agent.models import Finding, Severity
from tests.documentation.finding_codes import finding_codes
from tests.error_codes import codes_of

USED = codes_of(Path(edge_agent.__file__).parent)


def test_every_code_has_a_message_in_both_languages() -> None:
    missing = {code: sorted(files) for code, files in USED.items() if code not in catalogue()}
    assert missing == {}
    for code, by_language in catalogue().items():
        assert set(by_language) == set(LANGUAGES), code
        for message in by_language.values():
            assert message.title.strip(), code
            assert message.hint.strip(), code


def test_the_scan_of_the_source_finds_codes_of_every_kind() -> None:
    assert {"bad-image", "session-closed", "scan-empty", "body-too-large", "truncated"} <= USED.keys()


def test_japanese_messages_are_japanese() -> None:
    for code, by_language in catalogue().items():
        assert not by_language["ja"].title.isascii(), code
        assert not by_language["ja"].hint.isascii(), code
        assert by_language["en"].title.isascii(), code


def test_every_finding_is_said_in_japanese_too() -> None:
    assert findings_in_japanese().keys() == finding_codes().keys()
    for code, message in findings_in_japanese().items():
        assert not message.title.isascii(), code
        assert not message.hint.isascii(), code


def test_a_finding_keeps_its_facts_in_every_language() -> None:
    made = Finding("sync-late", Severity.WARNING, "synchronisation", "For 20 minutes.", "Check the network.")
    assert in_language(made, "en") is made
    said = in_language(made, "ja")
    assert (said.code, said.severity, said.subject) == (made.code, made.severity, made.subject)
    assert said.message.endswith("：For 20 minutes.")
    assert not said.hint.isascii()
    assert not in_language(replace(made, code="disk-full"), "ja").hint.isascii(), "a folder passes on errors"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("en-GB,ja;q=0.5", "en"),
        ("en;q=0.5,ja;q=0.9", "ja"),
        ("de,fr;q=0.9", "en"),
        ("ja;q=0", "en"),
        ("ja;q=nan,;;==,", "en"),
        ("x" * 10_000, "en"),
    ],
)
def test_language_follows_the_header(header: str, language: str) -> None:
    assert choose_language(header) == language


def test_a_problem_document_says_what_and_what_to_do_in_the_language_asked_for() -> None:
    error = Unavailable("The disk is full; nothing was stored.", code="disk-full", hint="Free disk space.")
    english, japanese = (json.loads(bytes(problem_response(error, lang).body)) for lang in ("en", "ja"))
    assert english["code"] == japanese["code"] == "disk-full"
    assert english["hint"] == "Free disk space."
    assert japanese["title"] == "ディスクがいっぱいです"
    assert english["type"] == "urn:imageflow:problem:disk-full"
    assert problem_response(error, "en").media_type == MEDIA_TYPE


def test_a_code_without_message_falls_back_to_its_class() -> None:
    document = json.loads(bytes(problem_response(BadImage("odd", code="never-heard-of"), "ja").body))
    assert document["code"] == "never-heard-of"
    assert document["title"] == "画像が使えません"


def test_a_definition_lists_its_faults_with_their_places() -> None:
    error = BadDefinition("2 problems", [Problem("items.json", "/0", "missing", "no code")] * 2)
    document = json.loads(bytes(problem_response(error, "en").body))
    place = {"file": "items.json", "pointer": "/0", "code": "missing", "message": "no code"}
    assert document["problems"] == [place, place]


def test_faults_of_a_request_are_placed_and_never_echo_what_was_sent() -> None:
    fault = {"type": "string_too_short", "loc": ("body", "a/b", 0), "msg": "too short", "input": "secret"}
    error = from_validation([fault])
    body = bytes(problem_response(error, "en").body)
    assert json.loads(body)["problems"][0]["pointer"] == "/body/a~1b/0"
    assert b"secret" not in body


def test_login_problems_are_401_with_a_challenge_and_the_rest_403() -> None:
    response = problem_response(Denied("log in", code="login-needed"), "en")
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert status_of(Denied("no", code="role-needed")) == 403


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "no-such-path"), (405, "method-not-allowed"), (413, "body-too-large"), (400, "bad-request")],
)
def test_the_frameworks_refusals_have_codes(status: int, code: str) -> None:
    error = from_http(HTTPException(status, "why"), {"path": "/x", "method": "PUT"})
    assert (error.code_, status_of(error)) == (code, status)


def test_text_that_is_not_unicode_does_not_break_the_answer() -> None:
    response = problem_response(AgentError("broken \udcff name", path=Path("/x")), "en")
    assert json.loads(bytes(response.body))["context"] == {"path": "/x"}
