"""Files a hot folder could not use, each with the reason, until a person retries or discards them.

Rules of this file:
- `quarantine/<id>/reason.json` is durable before the file moves into `quarantine/<id>/files/` under its own
  name: after a crash a file is in the folder or here, never nowhere.
- An entry whose `files/` is empty is what a crash left behind: it is not listed, and `sweep` removes it.
- File names may be any bytes; what is stored as text or shown has undecodable bytes escaped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.capture.files import move, sync_directory
from edge_agent.clock import Clock, to_rfc3339
from edge_agent.errors import Conflict, NotFound, Unavailable

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One file set aside. `folder` is the hot folder's name, `name` the file's name as shown to people,
    `code`, `detail` and `hint` say why; `quarantined_at`, `modified_at` RFC 3339; `path` is where it lies."""

    id: str
    folder: str
    name: str
    code: str
    detail: str
    hint: str
    quarantined_at: str
    modified_at: str
    size_bytes: int
    path: Path


class Quarantine:
    """The directory `<data_dir>/quarantine`."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def put(self, folder: str, files: Sequence[Path], *, code: str, detail: str, hint: str) -> str:
        """Moves `files` (the picture first, then its sidecar) out of a folder; returns the entry's id.

        Raises OSError with every file not yet moved still in its place.
        """
        entry_id = self._clock.new_id()
        place = self._directory / entry_id
        try:
            self._write_reason(place, folder, files[0], code, detail, hint)
            for file in files:
                move(file, place / "files" / file.name)
            sync_directory(place / "files")
        except OSError:
            if not self._files(entry_id):
                self._drop(entry_id)
            raise
        return entry_id

    def _write_reason(
        self, place: Path, folder: str, picture: Path, code: str, detail: str, hint: str
    ) -> None:
        status = picture.lstat()
        (place / "files").mkdir(parents=True, mode=0o700)
        reason = {
            "schema": "quarantine/1",
            "folder": folder,
            "name": shown(picture.name),
            "code": code,
            "detail": shown(detail),
            "hint": hint,
            "quarantined_at": self._clock.now(),
            "modified_at": to_rfc3339(status.st_mtime),
            "size_bytes": status.st_size,
        }
        with (place / "reason.json").open("w", encoding="utf-8") as writer:
            json.dump(reason, writer, ensure_ascii=False, indent=1)
            writer.flush()
            os.fsync(writer.fileno())
        for directory in (place, self._directory):
            sync_directory(directory)

    def list(self, *, folder: str | None = None, limit: int = 1000) -> tuple[QuarantineEntry, ...]:
        """The newest entries first, at most `limit`, of one folder or of all."""
        found = (self._entry(entry_id) for entry_id in sorted(self._ids(), reverse=True))
        kept = (entry for entry in found if entry and (folder is None or entry.folder == folder))
        return tuple(entry for entry, _ in zip(kept, range(limit), strict=False))

    def count(self) -> int:
        """How many entries wait for a person."""
        return sum(1 for entry_id in self._ids() if self._files(entry_id))

    def sweep(self) -> None:
        """Removes what a crash left half-made; at start, before any folder runs."""
        for entry_id in [*self._ids()]:
            if not self._files(entry_id):
                self._drop(entry_id)

    def get(self, entry_id: str) -> QuarantineEntry:
        """Raises NotFound."""
        entry = self._entry(entry_id) if _ID.fullmatch(entry_id) else None
        if entry is None:
            raise NotFound(f"There is no quarantine entry {shown(entry_id)[:64]!r}.")
        return entry

    def retry(self, entry_id: str, directory: Path) -> QuarantineEntry:
        """Moves the file (and its sidecar) back into the hot folder `directory`.

        Raises NotFound, Conflict `name-taken`, Unavailable `folder-unavailable`; nothing has moved then.
        """
        entry = self.get(entry_id)
        files = self._files(entry_id)
        taken = [file.name for file in files if os.path.lexists(directory / file.name)]
        if taken:
            raise Conflict(
                f"The folder already holds a file named {shown(taken[0])!r}.",
                code="name-taken",
                hint="Wait until the folder has taken that file, then retry.",
            )
        try:
            for file in sorted(files, key=lambda file: file == entry.path):  # the picture last
                move(file, directory / file.name)
        except OSError as error:
            raise Unavailable(
                f"The file cannot be moved back: {error.strerror}.", code="folder-unavailable"
            ) from error
        self._drop(entry_id)
        return entry

    def discard(self, entry_id: str) -> QuarantineEntry:
        """Deletes the file for ever; only ever called because a person asked for it. Raises NotFound."""
        entry = self.get(entry_id)
        self._drop(entry_id)
        return entry

    def _ids(self) -> Iterator[str]:
        if not self._directory.is_dir():
            return
        with os.scandir(self._directory) as entries:
            yield from (entry.name for entry in entries if _ID.fullmatch(entry.name))

    def _entry(self, entry_id: str) -> QuarantineEntry | None:
        files = self._files(entry_id)
        if not files:
            return None
        reason = _read_reason(self._directory / entry_id / "reason.json")
        picture = next((file for file in files if shown(file.name) == reason.get("name")), files[0])
        return QuarantineEntry(
            id=entry_id,
            folder=str(reason.get("folder", "")),
            name=shown(picture.name),
            code=str(reason.get("code", "reason-lost")),
            detail=str(reason.get("detail", "The reason could not be read.")),
            hint=str(reason.get("hint", "Look at the file, then retry or discard it.")),
            quarantined_at=str(reason.get("quarantined_at", "")),
            modified_at=str(reason.get("modified_at", "")),
            size_bytes=picture.lstat().st_size,
            path=picture,
        )

    def _files(self, entry_id: str) -> Sequence[Path]:
        place = self._directory / entry_id / "files"
        try:
            return sorted(file for file in place.iterdir() if not file.name.endswith(".part"))
        except FileNotFoundError:
            return ()

    def _drop(self, entry_id: str) -> None:
        shutil.rmtree(self._directory / entry_id, ignore_errors=True)


def shown(text: str) -> str:
    """`text` with what no UTF-8 file may hold (bytes of a foreign file name) written as `\\xNN`."""
    if text.isascii():
        return text
    return "".join(map(_shown_letter, text))


def _shown_letter(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # how Python carries a byte that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return "\ufffd" if "\ud800" <= letter <= "\udfff" else letter


def _read_reason(path: Path) -> dict[str, object]:
    try:
        reason = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return reason if isinstance(reason, dict) else {}
