"""The words of the documents in both languages, and how instants and numbers are written in them.

Rules of this file:
- `words.json` beside it holds every word as [English, Japanese]; one that is missing fails when it is asked for.
- Instants are written in the factory's time zone with their offset, so that a page reads alike everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from importlib.resources import files

from edge_agent.messages import LANGUAGES
from edge_agent.store.audit import AuditEntry


@cache
def catalogue() -> Mapping[str, tuple[str, str]]:
    """Key → the word in each of LANGUAGES."""
    text = files("edge_agent.paper").joinpath("words.json").read_text("utf-8")
    return {key: (english, japanese) for key, (english, japanese) in json.loads(text).items()}


@dataclass(frozen=True, slots=True)
class Words:
    """How one document speaks. `people`: local user id → name; `reasons`: code → what people call it;
    `zone` None is the machine's."""

    language: str
    zone: tzinfo | None
    people: Mapping[int, str]
    reasons: Mapping[str, str]

    def __call__(self, key: str) -> str:
        return catalogue()[key][LANGUAGES.index(self.language)]

    def time(self, instant: str | None) -> str:
        """`2026-11-23 14:05:09 +09:00`; a dash for None."""
        if instant is None:
            return "—"
        local = datetime.fromisoformat(instant).astimezone(self.zone)
        return local.isoformat(" ", "seconds")

    def person(self, user_id: int | None) -> str:
        return "—" if user_id is None else self.people.get(user_id, f"#{user_id}")

    def reason(self, code: str | None) -> str:
        return self.reasons.get(code, code) if code else "—"

    def name(self, text: str) -> str:
        """The half in this language of a name written "日本語 / English"; the whole of any other."""
        halves = text.split(" / ")
        return halves[self.language == "en"] if len(halves) == len(LANGUAGES) else text

    def result(self, result: str | None) -> str:
        """A verdict: a mark and a word."""
        return self(f"result.{result or 'NONE'}")


@dataclass(frozen=True, slots=True)
class Print:
    """By whom, when and where a document is made; `head` is the newest entry of the whole audit log then."""

    actor: str
    at: str
    device_id: str
    version: str
    head: AuditEntry | None

    def facts(self, words: Words) -> list[tuple[str, str]]:
        chain = f"{self.head.seq} · SHA-256 {self.head.sha256}" if self.head else "—"
        return [
            (words("printed"), words.time(self.at)),
            (words("printed_by"), self.actor),
            (words("device"), self.device_id),
            (words("agent"), f"ImageFlowCanvas Edge Agent {self.version}"),
            (words("chain"), chain),
        ]
