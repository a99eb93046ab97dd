"""What works on the masters of one server, as one value.

Rules of this file:
- Only puts together; nothing is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from central_server.masters.bundles import Bundles
from central_server.masters.masters import Masters
from central_server.masters.operators import Operators
from central_server.masters.packages import Objects, Packages
from central_server.store.database import Database
from edge_agent.clock import Clock
from edge_agent.disk import disk_errors


@dataclass(frozen=True, slots=True, eq=False)
class Office:
    """`scratch`: where private copies of what is uploaded lie; empty between requests."""

    operators: Operators
    masters: Masters
    packages: Packages
    bundles: Bundles
    scratch: Path


def open_office(
    database: Database, objects: Objects, clock: Clock, data_dir: Path, admin_token: str = ""
) -> Office:
    """`admin_token`: see `operators.admin_token`; "" = nobody logs in without a password.

    Raises Unavailable (disk).
    """
    scratch = data_dir / "scratch"
    with disk_errors():
        scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    packages = Packages(database, objects, clock, scratch)
    return Office(
        operators=Operators(database, clock, admin_token),
        masters=Masters(database, clock),
        packages=packages,
        bundles=Bundles(database, packages, clock),
        scratch=scratch,
    )
