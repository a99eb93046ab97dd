"""Long work: one at a time, watched, stopped between two steps, and its end never lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from edge_agent.clock import Clock
from edge_agent.errors import Conflict, NotFound, Unavailable
from edge_agent.sync.jobs import Job, JobKind, JobPhase, Jobs, Progress, Report


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs(Clock())
    yield made
    made.close()


def finished(jobs: Jobs, job: Job) -> Job:
    while job.phase is JobPhase.RUNNING:
        job = jobs.wait(job.id, job.revision, 20)
    return job


def test_a_watcher_sees_every_end_and_the_result(jobs: Jobs) -> None:
    def work(report: Report) -> dict[str, int]:
        for done in range(3):
            report(Progress("counting", done, 3))
        return {"counted": 3}

    job = finished(jobs, jobs.start(JobKind.VERIFY, work))
    assert (job.phase, job.result, job.progress.done) == (JobPhase.DONE, {"counted": 3}, 2)
    assert jobs.get(job.id) == job
    assert jobs.newest() == job
    assert job.finished_at is not None


def test_only_one_runs_and_the_other_is_told_which(jobs: Jobs) -> None:
    go_on = threading.Event()

    def work(_report: Report) -> dict[str, int]:
        go_on.wait()
        return {}

    job = jobs.start(JobKind.RUN, work)
    with pytest.raises(Conflict) as refused:
        jobs.start(JobKind.REPAIR, work)
    assert (refused.value.code_, refused.value.context) == ("sync-job-running", {"job_id": job.id})
    go_on.set()
    finished(jobs, job)
    assert finished(jobs, jobs.start(JobKind.REPAIR, work)).phase is JobPhase.DONE


def test_a_stop_takes_effect_between_two_steps(jobs: Jobs) -> None:
    steps: list[int] = []
    started, stopped = threading.Event(), threading.Event()

    def work(report: Report) -> dict[str, int]:
        while True:
            started.set()
            stopped.wait()
            report(Progress())
            steps.append(1)

    job = jobs.start(JobKind.RUN, work)
    started.wait()
    assert jobs.cancel(job.id).phase is JobPhase.RUNNING
    stopped.set()
    assert finished(jobs, job).phase is JobPhase.CANCELLED
    assert steps == []
    assert jobs.cancel(job.id).phase is JobPhase.CANCELLED


def test_a_failure_is_told_as_in_a_problem_document(jobs: Jobs) -> None:
    def work(_report: Report) -> dict[str, int]:
        raise Unavailable("The server is away.", code="sync-failed")

    job = finished(jobs, jobs.start(JobKind.RUN, work))
    assert job.phase is JobPhase.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.exit_code) == ("sync-failed", 7)


def test_what_nobody_foresaw_ends_the_job_not_the_agent(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    def work(_report: Report) -> dict[str, int]:
        raise ZeroDivisionError

    with caplog.at_level(logging.CRITICAL):
        job = finished(jobs, jobs.start(JobKind.RUN, work))
    assert job.error is not None
    assert job.error.code == "internal"


def test_only_the_newest_are_kept(jobs: Jobs) -> None:
    first = finished(jobs, jobs.start(JobKind.RUN, lambda _report: {}))
    for _ in range(20):
        finished(jobs, jobs.start(JobKind.RUN, lambda _report: {}))
    with pytest.raises(NotFound):
        jobs.get(first.id)


def test_closing_stops_what_runs() -> None:
    jobs = Jobs(Clock())
    started = threading.Event()

    def work(report: Report) -> dict[str, int]:
        while True:
            started.set()
            report(Progress())

    job = jobs.start(JobKind.RUN, work)
    started.wait()
    jobs.close()
    assert jobs.get(job.id).phase is JobPhase.CANCELLED
