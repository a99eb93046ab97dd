"""One daemon per data directory, across real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.errors import Busy, Unavailable
from edge_agent.lock import HOLDER_FILE, data_dir_lock, holder_pid, is_running

HOLD = """
import os, sys
from pathlib import Path
from edge_agent.lock import data_dir_lock
with data_dir_lock(Path(sys.argv[1]), os.getpid()):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_daemon_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert is_running(tmp_path)
        with (
            pytest.raises(Busy, match=f"process {other.pid}") as caught,
            data_dir_lock(tmp_path, os.getpid()),
        ):
            pass
        assert (caught.value.code_, caught.value.context["pid"]) == ("already-running", other.pid)
        assert holder_pid(tmp_path) == other.pid  # the refused one did not overwrite it
        other.kill()
    assert not is_running(tmp_path)
    with data_dir_lock(tmp_path, 42):  # a kill leaves nothing that must be cleaned by hand
        assert holder_pid(tmp_path) == 42


def test_the_same_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    with data_dir_lock(tmp_path, 1), pytest.raises(Busy), data_dir_lock(tmp_path, 1):
        pass
    with data_dir_lock(tmp_path, 1):
        pass


def test_a_directory_nobody_ever_held_is_free_and_stays_untouched(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_holder_file_is_nobody(tmp_path: Path) -> None:
    (tmp_path / HOLDER_FILE).write_text("?")
    assert holder_pid(tmp_path) is None


def test_a_data_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable), data_dir_lock(tmp_path / "file", 1):
        pass
