"""Which protocol this is.

Rules of this file:
- A change that an older peer would misread gets a new number and a line in the history below.
- Columns that are new make a new SCHEMA_VERSION only: a row that the other end cannot store yet waits.
- Each end accepts every version it lists; `agree` picks the highest that both know.
"""

from __future__ import annotations

from collections.abc import Iterable

# 1  2026-11  hello, push, pull, digest, blobs, enrolment
PROTOCOL_VERSION = 1
ACCEPTED_VERSIONS = (1,)
# Of the rows that travel: the columns of facts and masters.
SCHEMA_VERSION = 1


def agree(theirs: Iterable[int], ours: Iterable[int] = ACCEPTED_VERSIONS) -> int | None:
    """The highest version both ends know, or None."""
    return max(set(theirs) & set(ours), default=None)
