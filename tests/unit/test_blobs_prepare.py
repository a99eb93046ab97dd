"""What a kill leaves half-written is gone at the next start, files and folders alike."""

from pathlib import Path

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock


def test_leftovers_in_staging_are_removed(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, Clock())
    blobs.prepare()
    (tmp_path / "staging" / "half.part").write_bytes(b"x")
    (tmp_path / "staging" / "upload-1").mkdir()
    (tmp_path / "staging" / "upload-1" / "upload.zip").write_bytes(b"x")
    blobs.prepare()
    assert list((tmp_path / "staging").iterdir()) == []
