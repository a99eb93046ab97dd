"""What the sync commands show: amounts, sizes, times, and what stands beside the bar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from edge_agent.cli.connection import Connection
from edge_agent.cli.demo_central import another, is_possible
from edge_agent.cli.sync_jobs import carry_out, details
from edge_agent.cli.sync_words import age, amount, size
from edge_agent.demo import IMAGES


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3_700, "1 h 2 min"), (86_400 * 3, "3 days")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_amounts_and_sizes() -> None:
    assert (amount(5000, True), amount(3, False)) == ("5,000+", "3")
    assert [size(count) for count in (12, 3_400, 5e6, 7.25e9)] == ["12 B", "3.4 kB", "5.0 MB", "7.2 GB"]


def test_what_stands_beside_the_bar() -> None:
    progress = {
        "bytes_done": 1e6,
        "bytes_of": 2e6,
        "rows_per_s": 1234.5,
        "bytes_per_s": 1e6,
        "eta_s": 61.0,
        "oldest_at": "2026-11-23T12:00:00.000Z",
    }
    shown = " · ".join(details(progress))
    assert shown == (
        "1.0 MB of 2.0 MB · 1,234 rows/s · 1.0 MB/s · 1 min 1 s left · oldest 2026-11-23T12:00:00.000Z"
    )
    nothing = dict.fromkeys(progress, None) | {"bytes_done": 0}
    assert list(details(nothing)) == []


def test_a_program_hears_of_progress_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Agent:
        """Answers what the agent would, one state of the job after the other."""

        def __init__(self) -> None:
            steps = [{"step": ""}, {"step": "rows"}, {"step": "photographs"}]
            self.states = [{"id": "1", "phase": "running", "revision": 1, "progress": step} for step in steps]
            self.states.append(self.states[-1] | {"phase": "done", "result": {"rows": 5}})

        def post(self, _path: str, _body: object = None) -> dict[str, Any]:
            return self.states.pop(0)

        def get(self, _path: str, **_query: object) -> dict[str, Any]:
            return self.states.pop(0)

    assert carry_out(cast(Connection, Agent()), "run", None, "Synchronising", as_json=True) == {"rows": 5}
    shown = capsys.readouterr()
    told = [json.loads(line)["progress"]["step"] for line in shown.err.splitlines()]
    assert (told, shown.out) == (["rows", "photographs"], "")


def test_another_photograph_shows_the_same() -> None:
    import cv2
    import numpy as np

    sample = sorted(Path(IMAGES).glob("*.jpg"))[0]
    copy = another(sample, "P0101_L1_HOLE.jpg")
    assert copy != sample.read_bytes()
    before, after = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (sample.read_bytes(), copy)
    )
    assert before is not None
    assert after is not None
    assert np.array_equal(before, after)


def test_the_second_half_needs_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.cli.demo_central.NEEDED", ("no-such-distribution",))
    assert not is_possible()
