"""The agent of the integration tests, and disks that can be filled and locked."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import agent, picture, start_agent

__all__ = ["agent", "picture", "start_agent"]


@dataclass(frozen=True)
class Disk:
    """A file system of its own, 8 MiB large."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, leave_bytes: int = 0) -> None:
        """Takes all the space there is but so much; what others take meanwhile is not asked for again."""
        with self._ballast.open("ab", buffering=0) as file:
            while (size := self._free_bytes() - leave_bytes) > 0:
                with suppress(OSError):  # somebody was quicker
                    os.posix_fallocate(file.fileno(), self._ballast.stat().st_size, size)

    def _free_bytes(self) -> int:
        left = os.statvfs(self.path)
        return left.f_bavail * left.f_frsize

    def free(self) -> None:
        self._ballast.unlink()

    def remount(self, mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Needs root, as in a container; elsewhere the tests that need no mount still cover the refusals."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield Disk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)
