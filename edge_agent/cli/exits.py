"""What a command's exit code means.

Rules of this file:
- The codes are stable: scripts depend on them. `docs/cli.md` shows this table.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    INTERNAL = 1
    USAGE = 2
    BAD_INPUT = 3
    NOT_FOUND = 4
    CONFLICT = 5
    DENIED = 6
    UNAVAILABLE = 7
    DAMAGED = 8
    FINDINGS = 9
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done",
    Exit.INTERNAL: "an error nobody foresaw, or a demo that did not come out as expected",
    Exit.USAGE: "the command line is wrong",
    Exit.BAD_INPUT: "a file or value given cannot be used; nothing was changed",
    Exit.NOT_FOUND: "there is no such thing",
    Exit.CONFLICT: "the present state forbids it",
    Exit.DENIED: "not logged in, or not allowed",
    Exit.UNAVAILABLE: "cannot be done now, may be tried again; the agent does not run, or already does",
    Exit.DAMAGED: "the installation needs a technician",
    Exit.FINDINGS: "done, but something was found that needs a person",
    Exit.INTERRUPTED: "interrupted (Ctrl-C); nothing is left half-done",
}
