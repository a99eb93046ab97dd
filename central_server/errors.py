"""Every error the central server can answer with.

Rules of this file:
- The code is one of `sync_protocol.codes`, which says the scope and whether the same bytes may be sent again; any
  other is a mistake of ours.
- `detail` is one sentence about what happened, `hint` what the operator can do; neither holds a secret.
"""

from __future__ import annotations

from typing import Any

from sync_protocol.codes import CODES, Code


class ServerError(Exception):
    """Nothing was stored. `context` holds JSON-able facts for programs."""

    def __init__(self, code: str, detail: str, *, hint: str = "", **context: Any) -> None:
        super().__init__(detail)
        self.code: Code = CODES[code]
        self.detail = detail
        self.hint = hint
        self.context = context


class Refused(ServerError):
    """The request or its device is at fault."""


class Unavailable(ServerError):
    """The database or the object store is at fault."""
