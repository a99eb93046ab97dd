"""Real servers for tests: the product's embedded ones in a temporary directory, without waiting for the disk.

Rules of this file:
- A killed test run takes its servers with it (PR_SET_PDEATHSIG), so start them from the main thread.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from central_server.embedded.postgresql import postgresql
from central_server.embedded.processes import own_folder
from central_server.embedded.seaweedfs import AT_ONCE, Store, kept_ports, seaweedfs
from edge_agent.clock import Clock

MANY_BUCKETS = {"volume.max": 2000, "master.volumeSizeLimitMB": 64}
"""A bucket takes a whole volume, and by itself the store allows only as many as fit the free disk."""
MEMORY, ROOM_BYTES = "/dev/shm", 1 << 30
FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB")


@contextmanager
def postgres(
    major: int = 18, settings: tuple[str, ...] = FAST, directory: str | None = None
) -> Iterator[str]:
    """The URL of a fresh cluster's database `postgres`; its files go under `directory` (None: the system's)."""
    with (
        folder_for_servers("pg-", directory) as base,
        postgresql(base / "pg", base / "secret", Clock(), major=major, settings=settings) as url,
    ):
        yield url


@contextmanager
def object_store(settings: Mapping[str, object] = MANY_BUCKETS) -> Iterator[StoreServer]:
    """A fresh SeaweedFS with one key pair that may do everything, and no bucket."""
    with folder_for_servers("s3-") as base:
        server = StoreServer(base, settings)
        with server.running():
            yield server


def memory() -> str | None:
    """A folder in memory, where there is one with room: thousands of fsyncs are not what a simulation tests."""
    is_there = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return MEMORY if is_there else None


@contextmanager
def folder_for_servers(prefix: str, directory: str | None = None) -> Iterator[Path]:
    """Under the system's temporary directory, which `nobody` may enter when the tests run as root."""
    base = Path(tempfile.mkdtemp(prefix=prefix, dir=directory))
    try:
        base.chmod(0o755)
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


class StoreServer:
    """An S3-compatible store that can be stopped and started again on the same port and data."""

    def __init__(self, base: Path, settings: Mapping[str, object] = MANY_BUCKETS) -> None:
        self._base, self._settings = base, settings
        self._stack = ExitStack()
        self._store: Store | None = None

    @property
    def url(self) -> str:
        return self._known.url

    @property
    def access_key(self) -> str:
        return self._known.access_key

    @property
    def secret_key(self) -> str:
        return self._known.secret_key

    @property
    def _known(self) -> Store:
        assert self._store is not None
        return self._store

    @contextmanager
    def running(self) -> Iterator[None]:
        with kept_ports(own_folder(self._folder)):  # also while it is stopped
            self.start()
            try:
                yield
            finally:
                self.stop()

    @property
    def _folder(self) -> Path:
        return self._base / "s3"

    def start(self) -> None:
        store = seaweedfs(
            self._folder, self._base / "secret", Clock(), settings=self._settings, ending=AT_ONCE
        )
        self._store = self._stack.enter_context(store)

    def stop(self) -> None:
        """At once, as a power cut would."""
        self._stack.close()
