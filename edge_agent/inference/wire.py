"""The words between the daemon and its inference processes: one JSON object per line, both ways.

Rules of this file:
- Both ends import it: nothing heavy. No pickle: the child is not trusted with code.
- Down: `configure`, `job`, `request`, each with its `id` and how many bytes of a picture follow the line.
  Up: `configured`, `decoded`, `result`, `rendered`, `answered`, `failed`, each with the `id` it is about;
  anything else is broken output.
- A picture on its way to the disk travels down as it is; every other one is read and written by the path named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from edge_agent.errors import (
    AgentError,
    BadDefinition,
    BadImage,
    BadInput,
    Conflict,
    InferenceFailed,
    NotFound,
    Problem,
    Unavailable,
)

MAX_LINE_BYTES: Final = 64 << 20
EVENTS: Final = frozenset({"configured", "decoded", "result", "rendered", "answered", "failed"})

Message = dict[str, Any]

_text_of = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode

_TRAVELLING: Mapping[str, type[AgentError]] = {
    error.__name__: error for error in (BadInput, BadImage, NotFound, Conflict, Unavailable, InferenceFailed)
}


def encode(message: Mapping[str, Any]) -> bytes:
    """One line; raises ValueError for NaN, which is not JSON."""
    return _text_of(message).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message in `line`; raises ValueError when it is cut off, not JSON or not an object."""
    if not line.endswith(b"\n"):
        raise ValueError("the line is cut off")
    message = orjson.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message


def decode_event(line: bytes) -> Message:
    """What a child said; raises ValueError when it is no event of ours."""
    event = decode(line)
    if event.get("event") not in EVENTS or not isinstance(event.get("id"), int):
        raise ValueError("not an event of the protocol")
    return event


def error_document(error: Exception) -> Message:
    """An exception as it travels; one of no class of ours becomes InferenceFailed."""
    if not isinstance(error, AgentError):
        sentence = f"{type(error).__name__}: {error}"[:500]
        context = {"errno": error.errno} if isinstance(error, OSError) else {}
        return {
            "class": "InferenceFailed",
            "detail": sentence,
            "code": "inference-failed",
            "context": context,
        }
    document: Message = {
        "class": type(error).__name__,
        "detail": error.detail,
        "code": error.code_,
        "hint": error.hint_,
        "context": json.loads(json.dumps(error.context, default=str)),
    }
    if isinstance(error, BadDefinition):
        document["problems"] = [
            [problem.file, problem.pointer, problem.code, problem.message] for problem in error.problems
        ]
    return document


def error_from(document: Any) -> AgentError:
    """The exception in an error document; a malformed one is InferenceFailed too."""
    if not isinstance(document, dict):
        return InferenceFailed("the inference process failed without saying why")
    detail = str(document.get("detail", ""))
    context = {str(key): value for key, value in (document.get("context") or {}).items()}
    if document.get("class") == "BadDefinition":
        problems = [Problem(*map(str, fields)) for fields in document.get("problems", ())]
        return BadDefinition(detail, problems)
    kind = _TRAVELLING.get(str(document.get("class")), InferenceFailed)
    for reserved in ("detail", "code", "hint"):
        context.pop(reserved, None)
    return kind(detail, code=document.get("code"), hint=document.get("hint"), **context)
