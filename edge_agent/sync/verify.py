"""Does the server hold what we think it holds, and we what it says? Every difference by its row.

Rules of this file:
- Changes nothing. Tables are compared as 256 sums each; only buckets that differ are looked into.
- Shallow: by the checksums that were kept as rows came and went, and the object store is asked for the newest
  photographs: what a server restored from a backup has forgotten. Deep: every row is frozen again, every file that
  masters need is hashed, and the object store is asked for every photograph.
- What is on its way is no difference: rows with anything unsent, and masters while there is more to pull.
- `progress(step, done, total)` is called often and may raise: that stops the work, nothing is half-done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from edge_agent.masters.loading import asset_files
from edge_agent.masters.packages import file_sha256, is_whole
from edge_agent.masters.round import by_column, sha256_of
from edge_agent.masters.verify import uses_of
from edge_agent.store import digests, masters, pulled
from edge_agent.store.database import Database
from edge_agent.store.soundness import FACT_TABLES
from sync_protocol.checksums import Bucket as Sum
from sync_protocol.checksums import bucket_of, differing, digest
from sync_protocol.messages import Blob, BucketReply, DigestReply, HaveReply
from sync_protocol.tables import ASSETS, MODEL_PACKAGES, SPACES, PulledTable

FACTS, BLOBS = "facts", "blobs"
IMAGES = "inspection_images"
ROWS_BETWEEN_REPORTS = 500
BLOBS_PER_REQUEST = 500
NEWEST_PHOTOGRAPHS = 50_000
"""Some days of a busy bench, in a hundred requests."""
MAX_DIFFERENCES = 100_000

Progress = Callable[[str, int, int | None], None]
"""`progress(step, done, of how many)`; None: not known."""


class Kind(StrEnum):
    """What is the matter with a row."""

    MISSING_HERE = "missing-here"
    """The server has it, we do not."""
    MISSING_THERE = "missing-there"
    """We have it, and the server acknowledged it; it has it no longer."""
    DIFFERS = "differs"
    """Both have it, with other content."""
    EDITED_HERE = "edited-here"
    """A row of the server was changed on this device."""
    CHANGED_HERE = "changed-here"
    """A record is not what was recorded: somebody changed it outside the agent."""
    FILE_DAMAGED = "file-damaged"
    """The file that a row of the server names is not whole here."""
    SUPERSEDED = "superseded"
    """The server kept another version after a conflict; both are in the list of conflicts."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`bucket` 0 … 255 of the row's id; `space` masters, decisions, facts or blobs."""

    space: str
    table: str
    row_id: str
    kind: Kind
    bucket: int

    @property
    def is_fault(self) -> bool:
        """Not: what lost a conflict, and records that only the server still has (this disk was restored)."""
        is_kept_there = self.space == FACTS and self.kind is Kind.MISSING_HERE
        return self.kind is not Kind.SUPERSEDED and not is_kept_there


@dataclass(frozen=True, slots=True)
class TableReport:
    """`rows` compared here; `is_behind`: there is something to pull first, so it was not compared."""

    space: str
    table: str
    rows: int
    buckets: int
    is_behind: bool = False


@dataclass(slots=True)
class VerifyReport:
    """`is_cut`: there are more differences than are listed."""

    deep: bool
    tables: list[TableReport] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    is_cut: bool = False

    @property
    def faults(self) -> list[Difference]:
        return [one for one in self.differences if one.is_fault]

    @property
    def is_clean(self) -> bool:
        return not self.faults

    def add(self, found: Iterable[Difference]) -> None:
        for one in found:
            if len(self.differences) >= MAX_DIFFERENCES:
                self.is_cut = True
                return
            self.differences.append(one)


class Server(Protocol):
    """What of `Central` is needed."""

    def digest(self, space: str, table: str) -> DigestReply: ...

    def bucket(self, space: str, table: str, bucket: int) -> BucketReply: ...

    def have(self, blobs: Sequence[Blob]) -> HaveReply: ...


def no_progress(step: str, done: int, total: int | None) -> None:
    """For callers that show none."""


class Verification:
    """One comparison with the server; `run` it once. `tables` None: all of them."""

    def __init__(
        self,
        database: Database,
        server: Server,
        data_dir: Path,
        *,
        deep: bool = False,
        tables: Sequence[str] | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self._db, self._server, self._data_dir = database, server, data_dir
        self._deep, self._tables, self._progress = deep, tables, progress
        self._report = VerifyReport(deep)

    def run(self) -> VerifyReport:
        """Raises SyncFailed, and whatever `progress` raises."""
        for tables in SPACES.values():
            for table in tables.values():
                if self._is_wanted(table.name):
                    self._compare_masters(table)
        for name in FACT_TABLES:
            if self._is_wanted(name):
                self._compare_facts(name)
        if self._is_wanted(IMAGES):
            self._ask_for_images(None if self._deep else NEWEST_PHOTOGRAPHS)
        return self._report

    def _is_wanted(self, table: str) -> bool:
        return self._tables is None or table in self._tables

    # ── masters ─────────────────────────────────────────────────────────────────────────────────────

    def _compare_masters(self, table: PulledTable) -> None:
        reply = self._server.digest(table.space, table.name)
        with self._db.snapshot() as reader:
            state = pulled.state(reader, table.space)
            came = dict(self._counted(table.name, pulled.pulled_sha256s(reader, table)))
            ours = came
            if self._deep and not table.is_kept_whole:
                ours = dict(self._counted(table.name, _frozen(pulled.present(reader, table), table)))
        if state.cursor != reply.head:
            self._report.tables.append(TableReport(table.space, table.name, len(ours), 0, is_behind=True))
            return
        edited = {row_id for row_id, sha256 in came.items() if ours.get(row_id) != sha256}
        self._compare(table.space, table.name, ours, reply, edited)
        if self._deep and table in (MODEL_PACKAGES, ASSETS):
            self._report.add(self._damaged_files(table))

    def _damaged_files(self, table: PulledTable) -> Iterator[Difference]:
        """The server's models and assets that are in use here and whose files are not whole."""
        with self._db.snapshot() as reader:
            rows = pulled.pulled_data(reader, table)
            installed = {(one.name, one.version): one for one in masters.list_models(reader)}
            pipelines = masters.rows(reader, "pipelines")
        used = {one for row in pipelines if row["is_active"] for one in uses_of(row["definition"])[1]}
        files = asset_files(self._data_dir)
        for row_id, row in rows.items():
            self._progress(table.name, 0, None)
            if table is MODEL_PACKAGES:
                known = installed.get((row["name"], row["version"]))
                is_damaged = known is not None and not is_whole(self._data_dir, known)
            else:
                sha256 = row["sha256"]
                is_damaged = sha256 in used and (sha256 not in files or file_sha256(files[sha256]) != sha256)
            if is_damaged:
                yield Difference(table.space, table.name, row_id, Kind.FILE_DAMAGED, bucket_of(row_id))

    # ── facts ───────────────────────────────────────────────────────────────────────────────────────

    def _compare_facts(self, table: str) -> None:
        changed: list[str] = []
        ours: dict[str, str] = {}
        with self._db.snapshot() as reader:
            total = digests.count_rows(reader, table)
            for done, one in enumerate(digests.facts(reader, table, deep=self._deep)):
                if done % ROWS_BETWEEN_REPORTS == 0:
                    self._progress(table, done, total)
                ours[one.id] = one.recorded
                if one.present not in (None, one.recorded):
                    changed.append(one.id)
        self._compare(FACTS, table, ours, self._server.digest(FACTS, table))
        self._report.add(Difference(FACTS, table, one, Kind.CHANGED_HERE, bucket_of(one)) for one in changed)

    def _ask_for_images(self, newest: int | None) -> None:
        with self._db.read() as reader:
            images = list(digests.uploads(reader, newest))
        for start in range(0, len(images), BLOBS_PER_REQUEST):
            self._progress(BLOBS, start, len(images))
            part = images[start : start + BLOBS_PER_REQUEST]
            sizes = {one.sha256: one.size for one in part}
            reply = self._server.have([Blob(sha256=sha256, size=size) for sha256, size in sizes.items()])
            missing = set(reply.missing)
            self._report.add(
                Difference(BLOBS, IMAGES, one.id, Kind.MISSING_THERE, bucket_of(one.id))
                for one in part
                if one.sha256 in missing
            )
        self._report.tables.append(TableReport(BLOBS, IMAGES, len(images), 0))

    # ── buckets ─────────────────────────────────────────────────────────────────────────────────────

    def _compare(
        self,
        space: str,
        table: str,
        ours: Mapping[str, str],
        reply: DigestReply,
        edited: Collection[str] = (),
    ) -> None:
        sums = digest((row_id, bytes.fromhex(sha256)) for row_id, sha256 in ours.items())
        numbers = differing(sums, {one.bucket: Sum(one.count, int(one.hash_sum)) for one in reply.buckets})
        self._report.tables.append(TableReport(space, table, len(ours), len(numbers)))
        mine: dict[int, dict[str, str]] = {number: {} for number in numbers}
        for row_id, sha256 in ours.items() if numbers else ():
            if (number := bucket_of(row_id)) in mine:
                mine[number][row_id] = sha256
        for done, number in enumerate(numbers):
            self._progress(f"{table} buckets", done, len(numbers))
            theirs = {one.id: one.sha256 for one in self._server.bucket(space, table, number).rows}
            found = dict(row_kinds(mine[number], theirs, edited))
            if space == FACTS and found:
                found = self._explained(table, found)
            self._report.add(Difference(space, table, *one, number) for one in found.items())

    def _explained(self, table: str, found: Mapping[str, Kind]) -> dict[str, Kind]:
        """Without what is on its way, or was when the sums were made; what lost a conflict says so."""
        with self._db.snapshot() as reader:
            ids = list(found)
            moving = digests.in_flight(reader, table, ids)
            moving |= digests.existing(reader, table, [i for i in ids if found[i] is Kind.MISSING_HERE])
            lost = digests.lost_conflicts(reader, table, ids)
        return {
            row_id: Kind.SUPERSEDED if kind is Kind.DIFFERS and row_id in lost else kind
            for row_id, kind in found.items()
            if row_id not in moving
        }

    def _counted(self, step: str, rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for done, row in enumerate(rows):
            if done % ROWS_BETWEEN_REPORTS == 0:
                self._progress(step, done, None)
            yield row


def row_kinds(
    mine: Mapping[str, str], theirs: Mapping[str, str], edited: Collection[str] = ()
) -> Iterator[tuple[str, Kind]]:
    """(id, what is the matter) of every row of a bucket that is not the same; checksums by id."""
    for row_id in sorted(mine.keys() | theirs.keys()):
        if row_id not in theirs:
            yield row_id, Kind.MISSING_THERE
        elif row_id not in mine:
            yield row_id, Kind.EDITED_HERE if row_id in edited else Kind.MISSING_HERE
        elif mine[row_id] != theirs[row_id]:
            yield row_id, Kind.EDITED_HERE if row_id in edited else Kind.DIFFERS


def _frozen(
    rows: Iterable[tuple[tuple[Any, ...], str | None]], table: PulledTable
) -> Iterator[tuple[str, str]]:
    """(id, sha256) of rows of the server, made anew from what is here."""
    for values, came_as in rows:
        row = by_column(table, values)
        yield row[table.key], sha256_of(table, row, came_as)
