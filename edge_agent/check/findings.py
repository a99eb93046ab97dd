"""What `check` can find: for each code its severity, its sentence and what mends it.

Rules of this file:
- Codes are stable: scripts and the console depend on them.
- ERROR: something recorded is lost, changed or cannot be trusted. WARNING: nothing is lost, mend it in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edge_agent.models import Finding, Severity


class Kind(NamedTuple):
    severity: Severity
    message: str
    hint: str


BACKUP = "Keep a copy of the data directory as it is, then restore the newest backup that verifies."
TAMPERED = "Somebody changed records outside the agent: secure the data directory and compare with a backup."
IMAGE = "Copy the file from a backup or, if it was uploaded, from the central server."
MODEL = "Install the model package again (`edge-agent model install`), or roll back to another version."
RECOUNT = "Report it: only a fault of the program or a foreign write can cause it; the records are intact."

KINDS: Mapping[str, Kind] = {
    "database-damaged": Kind(Severity.ERROR, "The database file is damaged", BACKUP),
    "foreign-key-broken": Kind(Severity.ERROR, "A row refers to one that does not exist", BACKUP),
    "schema-changed": Kind(Severity.ERROR, "The database's schema is not the program's", TAMPERED),
    "audit-broken": Kind(Severity.ERROR, "The audit trail was changed", TAMPERED),
    "queue-gap": Kind(Severity.ERROR, "Changes waiting for the server were removed", TAMPERED),
    "queue-entry-changed": Kind(Severity.ERROR, "A change waiting for the server was altered", TAMPERED),
    "fact-changed": Kind(Severity.ERROR, "A record was changed after it was made", TAMPERED),
    "fact-gone": Kind(Severity.ERROR, "A record was deleted", TAMPERED),
    "fact-not-recorded": Kind(Severity.ERROR, "A record entered without the agent knowing", TAMPERED),
    "session-state-impossible": Kind(Severity.ERROR, "A session is in an impossible state", RECOUNT),
    "image-item-unknown": Kind(Severity.ERROR, "An image belongs to no item of its session", RECOUNT),
    "image-without-verdict": Kind(Severity.ERROR, "An inspected image has no verdict", RECOUNT),
    "image-cut-off": Kind(
        Severity.INFO,
        "An inspection was cut off",
        "Start the agent: it inspects the image again.",
    ),
    "verdict-wrong": Kind(Severity.ERROR, "An item's present verdict is wrong", RECOUNT),
    "count-wrong": Kind(Severity.WARNING, "A daily count is wrong", RECOUNT),
    "image-missing": Kind(Severity.ERROR, "An image file is missing", IMAGE),
    "image-changed": Kind(Severity.ERROR, "An image file is not the one that was taken", IMAGE),
    "image-unreadable": Kind(
        Severity.ERROR,
        "An image file cannot be read",
        "Let the agent's user read the data directory; if that does not help, check the disk.",
    ),
    "path-outside": Kind(Severity.ERROR, "A row names a file outside the data directory", TAMPERED),
    "image-orphan": Kind(
        Severity.WARNING,
        "An image file belongs to no record",
        "A crash left it before its row was written: look at it, then delete it or inspect it again.",
    ),
    "derived-orphan": Kind(
        Severity.WARNING, "A drawn picture belongs to no image", "Delete it: it can be drawn again."
    ),
    "derived-empty": Kind(
        Severity.WARNING, "A drawn picture is empty", "Delete it and inspect the image again."
    ),
    "staging-leftover": Kind(
        Severity.INFO, "A half-written file was left by a crash", "Start the agent: it removes it."
    ),
    "model-missing": Kind(Severity.ERROR, "An installed model's file is missing", MODEL),
    "model-changed": Kind(Severity.ERROR, "An installed model's file is not the verified one", MODEL),
    "model-orphan": Kind(
        Severity.WARNING,
        "A model folder belongs to no installed model",
        "An installation was cut off: delete the folder or install the package again.",
    ),
    "asset-missing": Kind(
        Severity.ERROR, "A file that a pipeline names is missing", "Import the masters again."
    ),
    "asset-changed": Kind(
        Severity.ERROR,
        "A template or reference picture is not the verified one",
        "Delete the file and import the masters again.",
    ),
    "pipeline-changed": Kind(
        Severity.ERROR, "A pipeline is not the one that was verified", "Import the masters again."
    ),
    "pipeline-not-compiling": Kind(
        Severity.ERROR,
        "A pipeline cannot run; its items go to people",
        "Install the models it names, or import a corrected pipeline.",
    ),
    "part-unfinished": Kind(Severity.ERROR, "This part of the check could not be finished", BACKUP),
}


def finding(code: str, subject: str, detail: str) -> Finding:
    kind = KINDS[code]
    return Finding(code, kind.severity, subject, f"{kind.message}: {detail}.", kind.hint)
