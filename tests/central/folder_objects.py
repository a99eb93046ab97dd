"""An object store that is a folder: for tests of what only needs objects put and read."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path


class FolderObjects:
    """Holds the bytes of a name as a file; `lost` names what it forgets at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.puts = 0
        folder.mkdir(parents=True, exist_ok=True)

    def put_file(self, path: Path, sha256: str) -> None:
        self.puts += 1
        shutil.copyfile(path, self.folder / sha256)

    def look(self, sha256: str) -> tuple[str, int]:
        path = self.folder / sha256
        if not path.exists():
            return "missing", 0
        data = path.read_bytes()
        return ("verified" if hashlib.sha256(data).hexdigest() == sha256 else "differing"), len(data)

    def read(self, sha256: str) -> Iterator[bytes]:
        yield (self.folder / sha256).read_bytes()
