"""Every error the agent can report, and what the person in front of it can do.

    AgentError
    ├── BadInput            the caller sent something that cannot be used; nothing was changed
    │   ├── BadImage        the image itself is at fault (quarantine, 422)
    │   ├── BadDefinition   a pipeline, criteria, model package or bundle with `problems`
    │   └── NotFound        no such thing here
    ├── Conflict            the request is fine, the present state forbids it (409)
    ├── Denied              not logged in (401), not allowed (403), not our origin
    ├── Unavailable         cannot be done now, may be tried again (503): RETRY
    │   ├── Busy            someone else holds the data directory, camera, ...
    │   └── InferenceFailed crash, deadline, broken output: a person must look, never OK
    └── Damaged             the installation needs a technician (500): STOP

Rules of this file:
- Each class answers one question by `disposition`: may the same bytes be tried again?
  RETRY (back off), DEAD (keep it with its reason), STOP (halt that lane, the others go on).
- `code` is kebab-case, stable, and the key of the messages in `messages.py` (Japanese and English).
- `hint` says what the operator can do; `detail` says what happened. Neither holds a secret.
- `exit_code` is what the CLI ends with: 2 usage, 3 bad input, 4 not found, 5 conflict, 6 denied,
  7 unavailable, 8 damaged, 1 anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Disposition(StrEnum):
    """What may happen to the work that met the error."""

    RETRY = "retry"
    DEAD = "dead"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault at one place: `file` within the bundle or package ("" = the document itself),
    `pointer` an RFC 6901 JSON pointer into it, `code` kebab-case, `message` one English sentence."""

    file: str
    pointer: str
    code: str
    message: str

    def __str__(self) -> str:
        place = "#".join(part for part in (self.file, self.pointer) if part) or "(document)"
        return f"{place}: {self.message} [{self.code}]"


class AgentError(Exception):
    """Base of all: `detail` is one sentence for people, `context` JSON-able facts for programs."""

    code: ClassVar[str] = "internal"
    hint: ClassVar[str] = "Run `edge-agent doctor` and send its report to the technician."
    disposition: ClassVar[Disposition] = Disposition.STOP
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(
        self, detail: str, *, code: str | None = None, hint: str | None = None, **context: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code_ = code or self.code
        self.hint_ = hint or self.hint
        self.context = context


class BadInput(AgentError):
    code = "bad-input"
    hint = "Correct the value named in the message and send it again; nothing was changed."
    disposition = Disposition.DEAD
    exit_code = 3
    http_status = 422


class BadImage(BadInput):
    code = "bad-image"
    hint = "Take the picture again; the file was set aside, not inspected."


class BadDefinition(BadInput):
    """A definition with faults: `problems` lists every one of them, never only the first."""

    code = "bad-definition"
    hint = "Correct every problem listed and import again; the definition in use was not changed."

    def __init__(self, detail: str, problems: list[Problem], **context: Any) -> None:
        super().__init__(detail, **context)
        self.problems = problems


class NotFound(BadInput):
    code = "not-found"
    hint = "Check the spelling, or list what there is."
    exit_code = 4
    http_status = 404


class Conflict(AgentError):
    code = "conflict"
    hint = "Reload to see the present state, then decide again."
    disposition = Disposition.DEAD
    exit_code = 5
    http_status = 409


class Denied(AgentError):
    code = "denied"
    hint = "Log in as a user with the needed role."
    disposition = Disposition.DEAD
    exit_code = 6
    http_status = 403


class Unavailable(AgentError):
    code = "unavailable"
    hint = "Wait a moment and try again; nothing was lost."
    disposition = Disposition.RETRY
    exit_code = 7
    http_status = 503


class Busy(Unavailable):
    code = "busy"
    hint = "Close the other program that uses it, then try again."


class InferenceFailed(Unavailable):
    code = "inference-failed"
    hint = "Judge the item by eye; the image is kept and can be inspected again."


class Damaged(AgentError):
    code = "damaged"
    hint = "Stop the agent, run `edge-agent check`, and restore the newest backup if it says so."
    exit_code = 8
