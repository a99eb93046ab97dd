"""The pool with real processes, real networks and real crashes."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from edge_agent.errors import BadDefinition, BadImage
from edge_agent.inference.restarts import RestartLimit
from edge_agent.models import AiResult
from tests import onnx_models as nets
from tests.integration.line import CRITERIA, LONG_S, NOW, Line, Watch, failure, pipeline
from tests.waiting import WAIT_S, wait_for


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    line = Line(tmp_path_factory.mktemp("line"))
    line.start()
    yield line
    line.pool.close()


Start = Callable[..., Line]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lines: list[Line] = []

    def build(**options: Any) -> Line:
        line = Line(tmp_path, **options)
        lines.append(line)
        return line

    yield build
    for line in lines:
        line.pool.close(0.0)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_a_job_gives_size_verdict_and_pictures(line: Line, tmp_path: Path) -> None:
    ticket = line.pool.submit(line.job(derived=tmp_path / "made" / "1"))
    size = ticket.decoded.result(WAIT_S)
    assert (size.width_px, size.height_px) == (64, 48)
    result = ticket.result.result(WAIT_S)
    assert result is not None
    assert result.overall_result is AiResult.OK
    assert result.confidence > 0.9
    assert result.provider == "CPUExecutionProvider"
    assert len(result.model_sha256s[0]) == 64
    assert result.detailed_results["pipeline"]["sha256"] == pipeline("bright").sha256
    paths = ticket.rendered.result(WAIT_S)
    assert [Path(path).name for path in paths] == ["1.thumbnail.jpg", "1.overlay.jpg"]
    assert all(cv2.imread(path) is not None for path in paths)
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(
        Path(path).name for path in paths
    )


def test_the_verdict_depends_on_the_picture(line: Line) -> None:
    assert line.verdict("bright") is AiResult.OK
    assert line.verdict("dark") is AiResult.NG


def test_a_job_without_a_pipeline_only_decodes_and_makes_a_thumbnail(line: Line, tmp_path: Path) -> None:
    ticket = line.pool.submit(line.job(model=None, derived=tmp_path / "x"))
    assert ticket.decoded.result(WAIT_S).width_px == 64
    assert ticket.result.result(WAIT_S) is None
    assert ticket.rendered.result(WAIT_S) == (str(tmp_path / "x.thumbnail.jpg"),)


def test_a_picture_is_judged_by_its_bytes_before_any_file_holds_them(line: Line) -> None:
    large = np.random.default_rng(0).integers(0, 60, (900, 1200, 3), np.uint8)  # more than a pipe holds
    for pixels, wanted in ((large, AiResult.NG), (np.full((48, 64, 3), 250, np.uint8), AiResult.OK)):
        job = replace(line.job(), picture=cv2.imencode(".png", pixels)[1].tobytes())
        result = line.pool.submit(job).result.result(WAIT_S)
        assert result is not None
        assert result.overall_result is wanted


def test_a_torn_picture_is_a_bad_image_and_harms_nobody(line: Line) -> None:
    whole = (line.folder / "bright.png").read_bytes()
    (line.folder / "torn.png").write_bytes(whole[: len(whole) // 2])
    ticket = line.pool.submit(line.job("torn"))
    assert isinstance(ticket.decoded.exception(WAIT_S), BadImage)
    assert isinstance(ticket.result.exception(WAIT_S), BadImage)
    assert line.verdict() is AiResult.OK


def test_a_pipeline_is_known_though_the_picture_it_came_with_was_torn(start: Start) -> None:
    """A pipeline travels once, with the first job that names it; that picture may be a bad one."""
    line = start()
    line.start()
    (line.folder / "torn.png").write_bytes((line.folder / "bright.png").read_bytes()[:60])
    assert isinstance(line.pool.submit(line.job("torn")).decoded.exception(WAIT_S), BadImage)
    assert line.verdict() is AiResult.OK


def test_a_missing_picture_is_a_failure(line: Line) -> None:
    assert failure(line.pool.submit(line.job("nowhere")).decoded).code_ == "image-missing"


def test_a_pipeline_that_needs_a_missing_model_is_a_failure_not_a_verdict(line: Line) -> None:
    error = failure(line.pool.submit(line.job(model="elsewhere")).result)
    assert error.code_ == "pipeline-unusable"
    assert "elsewhere" in error.detail


def test_unreadable_criteria_give_error_never_ok(line: Line) -> None:
    assert line.verdict(criteria={"type": "VISUAL", "rule": "guess"}) is AiResult.ERROR


def test_all_pictures_are_drawn_under_load(line: Line, tmp_path: Path) -> None:
    tickets = [line.pool.submit(line.job(derived=tmp_path / str(number))) for number in range(30)]
    made = [ticket.rendered.result(WAIT_S) for ticket in tickets]
    assert len({path for paths in made for path in paths}) == 60
    assert len(list(tmp_path.iterdir())) == 60


def test_callers_in_many_threads_all_get_their_own_verdict(line: Line) -> None:
    wrong: list[str] = []

    def ask(picture: str, wanted: AiResult) -> None:
        wrong.extend(picture for _ in range(20) if line.verdict(picture) is not wanted)

    pictures = {"bright": AiResult.OK, "dark": AiResult.NG}
    threads = [threading.Thread(target=ask, args=entry) for entry in list(pictures.items()) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_requests_are_answered(line: Line, tmp_path: Path) -> None:
    compiled = line.pool.request("compile", definition=pipeline("bright").definition).result(WAIT_S)
    assert (compiled["code"], compiled["sha256"]) == ("bright", pipeline("bright").sha256)
    tried = line.pool.request(
        "dry-run",
        definition=pipeline("bright").definition,
        path=str(line.folder / "dark.png"),
        criteria=CRITERIA,
        scan={},
        now=NOW,
        derived=str(tmp_path / "try"),
    ).result(WAIT_S)
    assert tried["result"]["overall_result"] == "NG"
    assert len(tried["pictures"]) == 2


def test_codes_are_read_on_request(line: Line, tmp_path: Path) -> None:
    code = cv2.QRCodeEncoder.create().encode("LOT-42")
    big = cv2.resize(code, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "qr.png"), cv2.copyMakeBorder(big, 40, 40, 40, 40, 0, value=255))
    answer = line.pool.request("read-codes", path=str(tmp_path / "qr.png")).result(WAIT_S)
    assert [code["text"] for code in answer["codes"]] == ["LOT-42"]


def test_a_bad_request_says_every_problem(line: Line) -> None:
    error = line.pool.request("compile", definition='{"schema":"pipeline/1"}').exception(WAIT_S)
    assert isinstance(error, BadDefinition)
    assert len(error.problems) > 1


def test_a_model_is_installed_by_a_process_of_its_own(line: Line, tmp_path: Path) -> None:
    (tmp_path / "padim.onnx").write_bytes(nets.anomalib())
    pids = line.pool.state.pids
    answer = line.pool.request(
        "install",
        WAIT_S,
        source=str(tmp_path / "padim.onnx"),
        root=str(tmp_path / "models"),
        name="padim",
        version="1.0.0",
    ).result(WAIT_S)
    assert answer["manifest"]["task"] == "anomaly"
    assert Path(answer["folder"]).is_dir()
    verified = line.pool.request("verify", folder=answer["folder"]).result(WAIT_S)
    assert verified["manifest"] == answer["manifest"]
    assert line.pool.state.pids[0] == pids[0]
    assert line.pool.state.restarts == 0


def test_health_knows_memory_and_state(line: Line) -> None:
    assert line.verdict() is AiResult.OK
    state = line.pool.state
    assert (state.state, state.restarts, state.waiting) == ("ok", 0, 0)
    assert state.rss_bytes is not None
    assert state.rss_bytes > 30e6


def test_models_are_swapped_as_one_value_while_jobs_run(start: Start) -> None:
    line = start()
    line.start()
    before = [line.pool.submit(line.job()) for _ in range(10)]
    swapped = line.pool.configure({("other", "1.0.0"): line.folder / "nothing-1.0.0"}, {})
    assert {fault.name for fault in swapped.result(WAIT_S)} == {"other"}
    assert line.pool.state.faults[0].name == "other"
    settled = [ticket.result.exception(WAIT_S) for ticket in before]
    first_failure = next((i for i, error in enumerate(settled) if error), len(settled))
    assert all(error is None for error in settled[:first_failure])
    assert all(error is not None for error in settled[first_failure:])
    assert failure(line.pool.submit(line.job()).result).code_ == "pipeline-unusable"
    assert line.pool.configure(line.models, {}).result(WAIT_S) == ()
    assert line.verdict() is AiResult.OK


def test_a_killed_process_fails_its_job_and_the_others_are_judged(start: Start) -> None:
    line = start()
    line.start()
    endless = line.pool.submit(line.job(model="endless"))
    others = [line.pool.submit(line.job("dark")) for _ in range(5)]
    endless.decoded.result(WAIT_S)
    os.kill(line.pool.state.pids[0], signal.SIGSEGV)
    error = failure(endless.result)
    assert error.code_ == "inference-crash"
    assert "signal 11" in error.detail
    assert failure(endless.rendered) is error
    for ticket in others:
        result = ticket.result.result(WAIT_S)
        assert result is not None
        assert result.overall_result is AiResult.NG
    assert line.pool.state.restarts == 1
    assert line.pool.state.last_failure == error.detail


def test_a_job_past_its_deadline_is_given_up_and_the_others_are_judged(start: Start) -> None:
    line = start()
    line.start()
    endless = line.pool.submit(line.job(model="endless", deadline_s=0.3))
    others = [line.pool.submit(line.job()) for _ in range(3)]
    assert failure(endless.result).code_ == "inference-timeout"
    assert [ticket.result.exception(WAIT_S) for ticket in others] == [None] * 3


def test_past_the_restart_limit_people_go_on_without_ai_until_a_probe_succeeds(
    start: Start, watch: Watch
) -> None:
    line = start(limit=RestartLimit(limit=2, window_s=LONG_S, backoff_s=LONG_S), clock=watch.clock)
    line.start()
    tickets = [line.pool.submit(line.job(model="endless", deadline_s=0.2)) for _ in range(3)]
    codes = [failure(ticket.result).code_ for ticket in tickets]
    assert codes == ["inference-timeout", "inference-timeout", "inference-degraded"]
    assert line.pool.state.state == "degraded"
    refused = line.pool.submit(line.job())
    assert refused.decoded.done()
    assert failure(refused.result).code_ == "inference-degraded"
    watch.turn(line)
    assert line.pool.configure(line.models, {}).result(WAIT_S) == ()  # the probe's answer
    state = line.pool.state
    assert state.state == "ok"
    assert line.verdict() is AiResult.OK


@pytest.mark.parametrize(
    "answer",
    ["print('hello', flush=True)", 'os.write(1, b\'{"event":"result","id":77}\\n\')', "os._exit(3)"],
)
def test_a_process_that_answers_nonsense_is_a_crash(start: Start, tmp_path: Path, answer: str) -> None:
    script = f"""
        import json, os, sys
        for line in sys.stdin:
            message = json.loads(line)
            if message["op"] == "configure":
                print(json.dumps({{"event": "configured", "id": message["id"], "faults": []}}), flush=True)
            else:
                {answer}
    """
    (tmp_path / "child.py").write_text(textwrap.dedent(script))
    line = start(command=[sys.executable, str(tmp_path / "child.py")], limit=RestartLimit(limit=2))
    line.start()
    codes = [failure(line.pool.submit(line.job()).result).code_ for _ in range(3)]
    assert codes == ["inference-crash", "inference-crash", "inference-degraded"]


def test_a_process_that_cannot_be_started_degrades(start: Start, tmp_path: Path) -> None:
    line = start(command=[str(tmp_path / "no-such-program")])
    line.pool.start()
    assert failure(line.pool.submit(line.job()).result).code_ == "inference-degraded"
    assert line.pool.state.state == "degraded"


def test_a_second_process_comes_with_the_work_and_goes_without(start: Start, watch: Watch) -> None:
    line = start(workers=2, idle_s=LONG_S, clock=watch.clock)
    line.start()
    first = line.pool.state.pids
    tickets = [line.pool.submit(line.job(model="endless", deadline_s=3 * LONG_S))]
    tickets += [line.pool.submit(line.job()) for _ in range(6)]
    # the first never ends its job and holds one more: every other verdict comes from the second
    assert [ticket.result.exception(WAIT_S) for ticket in tickets[2:]] == [None] * 5
    [second] = set(line.pool.state.pids) - set(first)
    watch.turn(line)
    wait_for(lambda: second not in line.pool.state.pids)
    assert not tickets[0].result.done()
    assert line.pool.state.restarts == 0


def test_closing_fails_what_is_left_and_ends_the_processes(start: Start) -> None:
    line = start()
    line.start()
    tickets = [line.pool.submit(line.job(model="endless")) for _ in range(5)]
    tickets[0].decoded.result(WAIT_S)
    pids = line.pool.state.pids
    line.pool.close(0.0)
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    assert {failure(ticket.result).code_ for ticket in tickets} <= {"inference-crash", "inference-stopped"}
    assert failure(line.pool.submit(line.job()).result).code_ == "inference-stopped"
    assert line.pool.state.state == "stopped"


def test_closing_waits_for_what_is_under_way(start: Start, tmp_path: Path) -> None:
    line = start()
    line.start()
    tickets = [line.pool.submit(line.job(derived=tmp_path / str(number))) for number in range(5)]
    line.pool.close(WAIT_S)
    assert [len(ticket.rendered.result(0)) for ticket in tickets] == [2] * 5


def test_the_process_ends_with_the_daemon(tmp_path: Path) -> None:
    script = f"""
        import sys, time
        from edge_agent.inference.worker import InferencePool
        pool = InferencePool()
        pool.start()
        pool.configure({{}}, {{}}).result({WAIT_S})
        print(pool.state.pids[0], flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with psutil.Popen(command, stdout=-1) as daemon:
        assert daemon.stdout is not None
        child = psutil.Process(int(daemon.stdout.readline()))
        daemon.kill()
        assert psutil.wait_procs([child], WAIT_S)[1] == []
