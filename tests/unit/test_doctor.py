"""The doctor looks at the real machine and never raises."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent import doctor
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.doctor import diagnose, fsync_ms, run_child
from edge_agent.listening import held_ports, listening
from edge_agent.lock import data_dir_lock

MAYBE = {"sqlite-wal-reset", "ocr-missing", "disk-filling", "disk-slow", "data-dir-readable-by-others"}


def codes(data_dir: Path) -> set[str]:
    return {one.code for one in diagnose(data_dir, Clock()).findings} - MAYBE


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' own start takes a second; one test pays it."""
    monkeypatch.setattr(doctor, "PROBE", 'print(\'{"providers": ["CPUExecutionProvider"]}\')')


@pytest.fixture
def free_port(tmp_path: Path) -> Iterator[int]:
    """The agent's, as its settings in `tmp_path` say."""
    with held_ports(1) as (port,):
        (tmp_path / "config.toml").write_text(f"port = {port}\n")
        yield port


@pytest.mark.usefixtures("free_port")
def test_this_machine_is_fit(tmp_path: Path) -> None:
    diagnosis = diagnose(tmp_path, Clock())
    assert {one.code for one in diagnosis.findings} <= MAYBE
    assert diagnosis.facts["inference"]["providers"]
    assert diagnosis.facts["fsync_ms"] > 0
    assert diagnosis.facts["libraries"]["onnxruntime"]
    json.dumps(diagnosis.facts)
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


@pytest.mark.usefixtures("quick")
def test_a_data_directory_that_does_not_exist_yet_is_not_made(tmp_path: Path) -> None:
    assert "probe-failed" not in codes(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("text", ["port = 'many'", "no toml", "colour = 'red'"])
def test_settings_that_cannot_be_used_are_a_finding(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    assert codes(tmp_path) == {"config-invalid"}


@pytest.mark.usefixtures("quick")
def test_a_taken_port_is_a_finding_unless_the_agent_itself_has_it(tmp_path: Path, free_port: int) -> None:
    with listening("127.0.0.1", free_port) as other:
        other.listen()
        assert codes(tmp_path) == {"port-taken"}
        with data_dir_lock(tmp_path, 4711):
            diagnosis = diagnose(tmp_path, Clock())
            assert "port-taken" not in {one.code for one in diagnosis.findings}
            assert diagnosis.facts["running_pid"] == 4711


@pytest.mark.usefixtures("quick", "free_port")
def test_a_probe_that_breaks_is_a_finding_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(platform, "python_version", broken)
    diagnosis = diagnose(tmp_path, Clock())
    assert "probe-failed" in {one.code for one in diagnosis.findings}
    assert "fsync_ms" in diagnosis.facts


def test_a_library_that_crashes_is_told_and_survived() -> None:
    assert "exit status" in run_child("import os; os.abort()")
    assert run_child("raise ImportError('libfoo.so.1: cannot open')") == (
        "exit status 1, ImportError: libfoo.so.1: cannot open"
    )


@pytest.mark.usefixtures("free_port")
def test_inference_that_does_not_load_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBE", "import no_such_module")
    assert codes(tmp_path) == {"inference-not-loading"}


def test_the_cost_of_durability_is_the_median(tmp_path: Path) -> None:
    ticks = iter([0.0, 0.001, 1.0, 1.009, 2.0, 2.002, 3.0, 3.003, 4.0, 4.1])
    assert fsync_ms(tmp_path, Clock(monotonic=lambda: next(ticks))) == pytest.approx(3.0)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_disk_is_a_finding(tmp_path: Path) -> None:
    now = [0.0]

    def slow() -> float:
        now[0] += 0.06
        return now[0]

    _, found = doctor.disk(tmp_path, Clock(monotonic=slow))
    assert "disk-slow" in {one.code for one in found}


def test_a_directory_that_cannot_be_written_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(place: Path, clock: Clock) -> float:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor, "fsync_ms", refused)
    _, found = doctor.disk(load_config(tmp_path).data_dir, Clock())
    assert "data-dir-read-only" in {one.code for one in found}
