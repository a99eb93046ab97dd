"""The fields that several requests share, each bounded.

Rules of this file:
- A text without an upper bound does not exist; numbers are finite.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

MAX_INT = 2**53 - 1


Id = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="A UUID.")]


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


VERSION = r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$"


Name = Annotated[str, Path(pattern=NAME)]


Limit = Annotated[int, Query(ge=1, le=500)]


Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


Day = Annotated[str | None, Query(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]


Instant = Annotated[
    str | None,
    Query(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="RFC 3339, UTC, milliseconds."),
]


Searched = Annotated[
    str | None,
    Query(min_length=1, max_length=1000, description="Exactly a serial number, a lot or a code as scanned."),
]


Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]


Short = Annotated[str, StringConstraints(max_length=200)]


Note = Annotated[str, StringConstraints(max_length=4000)]


Password = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


UserName = Annotated[str, Path(max_length=64)]


ProductCode = Annotated[str, Path(max_length=200)]


SettingName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


NamedSessions = Annotated[
    list[Uuid] | None,
    Query(max_length=100, description="Only these, as far as they belong into the list; in one page."),
]
