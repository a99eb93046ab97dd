"""What the code of an error or a finding means to a person, in Japanese and English.

Rules of this file:
- `messages.json` beside it holds title and hint of every code in both languages; a test scans the source for
  codes and fails when one is missing or only in one language.
- A finding is made in English where it is found; `findings.ja.json` says it in Japanese, by code.
- The `detail` of an error names the values at fault and stays English; title and hint are what people act on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from edge_agent.errors import AgentError
from edge_agent.models import Finding

LANGUAGES = ("en", "ja")


@dataclass(frozen=True, slots=True)
class Message:
    """`title`: what is the matter, a few words. `hint`: what the person can do now."""

    title: str
    hint: str


Catalogue = Mapping[str, Mapping[str, Message]]
"""Code → language → message."""


@cache
def catalogue() -> Catalogue:
    """The agent's."""
    return read_catalogue("edge_agent")


def read_catalogue(package: str) -> Catalogue:
    """The `messages.json` that lies in the package."""
    text = files(package).joinpath("messages.json").read_text("utf-8")
    return {
        code: {language: Message(*pair) for language, pair in by_language.items()}
        for code, by_language in json.loads(text).items()
    }


def message_of(error: AgentError, language: str, known: Catalogue | None = None) -> Message:
    """Title and hint for this error, by the agent's catalogue unless another is `known`; the error's own English hint
    wins where it is more exact."""
    known = catalogue() if known is None else known
    message = (known.get(error.code_) or known[error.code])[language]
    is_exact = error.hint_ != type(error).hint or error.code_ == error.code
    return Message(message.title, error.hint_) if language == "en" and is_exact else message


@cache
def findings_in_japanese() -> Mapping[str, Message]:
    """Code → what it is and what to do."""
    text = files("edge_agent").joinpath("findings.ja.json").read_text("utf-8")
    return {code: Message(*pair) for code, pair in json.loads(text).items()}


def in_language(finding: Finding, language: str) -> Finding:
    """The finding for whoever reads `language`: what it is in their words, then the facts as they were met. A hot
    folder passes on codes of errors."""
    if language != "ja":
        return finding
    message = findings_in_japanese().get(finding.code) or catalogue()[finding.code]["ja"]
    return replace(finding, message=f"{message.title}：{finding.message}", hint=message.hint)


def choose_language(accept_language: str) -> str:
    """`ja` or `en` for an Accept-Language header (RFC 9110 §12.5.4); English when neither is asked for."""
    best, best_q = "en", 0.0
    for part in accept_language.split(",")[:20]:
        name, _, parameter = part.strip().partition(";")
        language = name.strip().lower().split("-")[0]
        quality = _quality(parameter)
        if language in LANGUAGES and quality > best_q:
            best, best_q = language, quality
    return best


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
