"""Files that the masters need, fetched by their sha256 and resumed where they were cut off.

Rules of this file:
- A file appears under its sha256 only after all its bytes were hashed; until then it is `SHA256.part`, which any
  later attempt goes on with.
- Nothing here is trusted for longer than it takes to use it: what was used is removed.
- A store, or a proxy before it, that cannot go on in the middle gives the file from its start instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from edge_agent.disk import disk_errors, sync_directory, sync_file
from edge_agent.masters.packages import file_sha256, remove_tree
from edge_agent.sync.lane import Kind, SyncFailed
from sync_protocol.messages import DownloadTicket

CANNOT_GO_ON = ("store-200", "store-416")


class Source(Protocol):
    """What of `Central` is needed."""

    def download_ticket(self, sha256: str) -> DownloadTicket: ...

    def fetch(self, url: str, max_bytes: int, offset: int = 0) -> Iterator[bytes]: ...


class Downloads:
    """The folder `downloads/` of one data directory."""

    def __init__(self, data_dir: Path, source: Source) -> None:
        self._folder, self._source = data_dir / "downloads", source

    def path(self, sha256: str) -> Path:
        """Where the fetched file is."""
        return self._folder / sha256

    def has(self, sha256: str) -> bool:
        """Whether the file is here and whole; one that is not is removed."""
        done = self.path(sha256)
        if file_sha256(done) == sha256:
            return True
        done.unlink(missing_ok=True)
        return False

    def fetch(self, sha256: str, size: int) -> Path:
        """The file with these bytes (`size` of them), fetched as far as it is not here yet.

        `sha256` must be one: it names a file. Raises SyncFailed, Unavailable (disk).
        """
        done, part = self.path(sha256), self._folder / f"{sha256}.part"
        with disk_errors():
            self._folder.mkdir(mode=0o700, exist_ok=True)
        self._fill(part, sha256, size)
        if file_sha256(part) != sha256:
            part.unlink(missing_ok=True)
            raise SyncFailed(Kind.DAMAGED, "blob-differs", f"What came for {sha256} are other bytes.")
        with disk_errors():
            sync_file(part)
            os.replace(part, done)
            sync_directory(self._folder)
        return done

    def clear(self) -> None:
        """Removes everything: the round it was fetched for is applied."""
        remove_tree(self._folder)

    def _fill(self, part: Path, sha256: str, size: int) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have > size:
            part.unlink()
            have = 0
        if have == size and part.exists():
            return
        url = self._source.download_ticket(sha256).url
        try:
            self._append(part, url, size, have)
        except SyncFailed as error:
            if not have or error.code_ not in CANNOT_GO_ON:
                raise
            part.unlink()
            self._append(part, url, size, 0)
        if part.stat().st_size != size:
            message = f"{part.stat().st_size} of {size} bytes of {sha256} came."
            raise SyncFailed(Kind.DAMAGED, "blob-differs", message)

    def _append(self, part: Path, url: str, size: int, have: int) -> None:
        with disk_errors(), part.open("ab") as file:
            for piece in self._source.fetch(url, size - have, have):
                file.write(piece)
