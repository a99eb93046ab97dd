"""From bytes to a durable verdict, through the real parts."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.api.services import Services
from edge_agent.errors import BadImage, Conflict, NotFound
from edge_agent.images import probe
from edge_agent.inspection.dropped import DroppedFile, DroppedFiles, Duplicate
from edge_agent.inspection.late import Added
from edge_agent.inspection.sessions import SessionView
from edge_agent.models import AiResult, ImageSource, ImageState, SessionStatus
from edge_agent.store import images
from tests.integration.conftest import SATO
from tests.waiting import WAIT_S, wait_for

Picture = Callable[..., bytes]


def start(agent: Services, serial: str) -> SessionView:
    return agent.sessions.start(f'{{"product":"PLATE","serial":"{serial}"}}', SATO)


def add(agent: Services, view: SessionView, data: bytes, item: int = 0) -> Added:
    item_id = view.items[item].item.id
    return agent.intake.add(
        view.session.id, item_id, data, source=ImageSource.UPLOAD, origin="test.png", actor=SATO
    )


def stored(agent: Services) -> tuple[int, int]:
    """Image rows, image files."""
    with agent.database.read() as reader:
        rows = reader.execute("SELECT count(*) FROM inspection_images").fetchone()[0]
    return rows, sum(1 for _ in agent.blobs.all_files())


@pytest.mark.parametrize(
    ("brightness", "expected"), [(255, AiResult.OK), (0, AiResult.NG), (128, AiResult.REVIEW)]
)
def test_a_picture_becomes_a_durable_verdict(
    agent: Services, picture: Picture, brightness: int, expected: AiResult
) -> None:
    view = start(agent, f"verdict-{brightness}")
    data = picture(brightness)
    added = add(agent, view, data)
    verdict = added.verdict.result(WAIT_S)
    assert verdict is not None
    assert verdict.overall_result is expected
    assert agent.blobs.read(added.image.file_path) == data
    after = agent.sessions.view(view.session.id)
    assert after.session.status is SessionStatus.AI_COMPLETED
    [image] = after.items[0].images
    assert (image.state, image.sha256) == (ImageState.INSPECTED, hashlib.sha256(data).hexdigest())
    assert verdict.model_sha256s
    assert verdict.pipeline_version == "1.0.0"


def test_the_same_bytes_are_one_image(agent: Services, picture: Picture) -> None:
    view = start(agent, "same")
    data = picture()
    first = add(agent, view, data)
    first.verdict.result(WAIT_S)
    again = add(agent, view, data)
    assert (again.is_duplicate, again.image.id) == (True, first.image.id)
    assert again.verdict.result() == first.verdict.result()


@pytest.mark.parametrize(
    "spoil", [lambda data: data[: len(data) // 2], lambda data: data[:30] + b"\0" * 40 + data[70:]]
)
def test_what_does_not_decode_leaves_nothing(
    agent: Services, picture: Picture, spoil: Callable[[bytes], bytes]
) -> None:
    view = start(agent, "spoilt")
    before = stored(agent)
    with pytest.raises(BadImage):
        add(agent, view, spoil(picture()))
    assert stored(agent) == before
    assert not list((agent.config.data_dir / "staging").iterdir())


def test_an_item_without_ai_keeps_the_picture_for_people(agent: Services, picture: Picture) -> None:
    view = start(agent, "hand")
    added = add(agent, view, picture(), item=1)
    assert added.verdict.result(WAIT_S) is None
    assert added.image.state is ImageState.CAPTURED


def test_a_closed_session_takes_no_picture(agent: Services, picture: Picture) -> None:
    view = start(agent, "closed")
    agent.sessions.cancel(view.session.id, "test", SATO)
    before = stored(agent)
    with pytest.raises(Conflict, match="takes no more images"):
        add(agent, view, picture())
    assert stored(agent) == before


def test_an_unknown_item_or_session_is_refused(agent: Services, picture: Picture) -> None:
    view = start(agent, "unknown")
    with pytest.raises(NotFound):
        agent.intake.add(view.session.id, "x", picture(), source=ImageSource.UPLOAD, origin="", actor=SATO)
    with pytest.raises(NotFound):
        agent.intake.add("x", "x", picture(), source=ImageSource.UPLOAD, origin="", actor=SATO)


def test_inspecting_again_adds_a_verdict(agent: Services, picture: Picture) -> None:
    view = start(agent, "again")
    added = add(agent, view, picture())
    first = added.verdict.result(WAIT_S)
    second = agent.intake.late.inspect_again(added.image.id, SATO).verdict.result(WAIT_S)
    assert first is not None
    assert second is not None
    assert (second.id > first.id, second.overall_result) == (True, first.overall_result)


def test_a_pipeline_that_is_not_in_force_gives_error_never_ok(
    start_agent: Callable[..., Services], picture: Picture
) -> None:
    agent = start_agent()
    with agent.database.write() as tx:
        tx.execute("UPDATE pipelines SET is_active = 0")
    agent.masters.reload()
    view = start(agent, "p")
    verdict = add(agent, view, picture()).verdict.result(WAIT_S)
    assert verdict is not None
    assert verdict.overall_result is AiResult.ERROR
    assert verdict.detailed_results["error"]["code"] == "pipeline-unavailable"
    assert {finding.code for finding in agent.check()} == set()


def test_a_killed_inference_process_is_replaced_and_the_picture_judged(
    start_agent: Callable[..., Services], picture: Picture
) -> None:
    agent = start_agent()
    view = start(agent, "k")
    add(agent, view, picture()).verdict.result(WAIT_S)
    for pid in agent.pool.state.pids:
        os.kill(pid, signal.SIGKILL)
    verdict = add(agent, view, picture()).verdict.result(WAIT_S)
    assert verdict is not None
    assert verdict.overall_result in (AiResult.OK, AiResult.ERROR)
    after = add(agent, view, picture(0)).verdict.result(WAIT_S)
    assert after is not None
    assert after.overall_result is AiResult.NG


def test_people_go_on_without_inference(start_agent: Callable[..., Services], picture: Picture) -> None:
    agent = start_agent()
    view = start(agent, "d")
    agent.pool.close()
    added = add(agent, view, picture())
    assert agent.blobs.read(added.image.file_path)
    with agent.database.read() as reader:
        assert reader.execute("SELECT state FROM inspection_images").fetchone()[0] == "inspecting"


def test_a_run_cut_off_by_a_kill_is_run_again_at_the_next_start(
    start_agent: Callable[..., Services], picture: Picture, tmp_path: Path
) -> None:
    agent = start_agent()
    view = start(agent, "r")
    agent.pool.close()  # the verdict will not come before the "kill"
    add(agent, view, picture(0))
    agent = start_agent()
    wait_for(lambda: agent.sessions.view(view.session.id).session.status is SessionStatus.AI_COMPLETED)
    [image] = agent.sessions.view(view.session.id).items[0].images
    assert (image.state, image.attempts) == (ImageState.INSPECTED, 1)
    assert agent.check() == []


def dropped(data: bytes, serial: str = "", *, automatic: bool = True) -> DroppedFile:
    sha256 = hashlib.sha256(data).hexdigest()
    return DroppedFile(
        f"{serial or sha256[:8]}.png",
        data,
        sha256,
        probe(data),
        "PLATE",
        "look",
        serial,
        "L1",
        automatic,
        True,
    )


@pytest.fixture
def line(agent: Services) -> DroppedFiles:
    return DroppedFiles(agent.database, agent.intake, agent.sessions, lambda: agent.masters.running)


def test_a_line_camera_makes_its_sessions(agent: Services, line: DroppedFiles, picture: Picture) -> None:
    files = [dropped(picture(255), "A1"), dropped(picture(0), "A2"), dropped(picture(255))]
    taken = line.finish(line.begin(files))
    assert all(isinstance(one, Added) for one in taken)
    sessions = set()
    for one in taken:
        assert isinstance(one, Added)
        one.verdict.result(WAIT_S)
        view = agent.sessions.view(one.image.session_id)
        sessions.add(view.session.id)
        assert (view.session.source, view.target.batch_id) == ("folder", "L1")
    assert len(sessions) == 3


def test_two_pictures_of_one_serial_number_are_one_session(
    agent: Services, line: DroppedFiles, picture: Picture
) -> None:
    first, second = line.finish(line.begin([dropped(picture(), "B1"), dropped(picture(), "B1")]))
    assert isinstance(first, Added)
    assert isinstance(second, Added)
    assert first.image.session_id == second.image.session_id


def test_bytes_taken_before_are_duplicates(line: DroppedFiles, picture: Picture) -> None:
    file = dropped(picture(), "C1")
    first, twin = line.finish(line.begin([file, file]))
    assert isinstance(first, Added)
    assert twin == Duplicate(first.image.id)
    assert line.finish(line.begin([file])) == [Duplicate(first.image.id)]


def test_a_file_without_a_session_waits(agent: Services, line: DroppedFiles, picture: Picture) -> None:
    file = dropped(picture(), "D1", automatic=False)
    [refused] = line.finish(line.begin([file]))
    assert isinstance(refused, Conflict)
    assert refused.code_ == "no-open-session"
    view = start(agent, "D1")
    [taken] = line.finish(line.begin([file]))
    assert isinstance(taken, Added)
    assert taken.image.session_id == view.session.id


def test_the_installation_is_sound_after_all_this(agent: Services) -> None:
    with agent.database.read() as reader:
        wait_for(lambda: not images.unfinished(reader, 1))
    wait_for(lambda: not list(agent.check()), lambda: list(agent.check()))
