"""The installed program: started, asked, doubled, stopped, killed in the middle of its work."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.acceptance.program import PROGRAM, WAIT_S, Daemon, ask, command, daemon
from tests.api_agent import make_bundle, png
from tests.waiting import wait_for

PICTURES = 128
"""At a time: several batches of a folder."""
BUSY = 7


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[Daemon]:
    with daemon(place / "data") as agent:
        yield agent


def test_commands_reach_the_running_agent(running: Daemon, place: Path) -> None:
    code, status = ask(place / "data", "status")
    assert (code, status["is_running"], status["url"]) == (0, True, running.url)
    code, report = ask(place / "data", "master", "import", make_bundle(place / "bundle"))
    assert (code, report["counts"]["items"]["added"]) == (0, 2)
    (place / "a.png").write_bytes(png(255))
    code, document = ask(place / "data", "inspect", place / "a.png", "--item", "PLATE/look")
    assert (code, [row["verdict"] for row in document["images"]]) == (0, ["OK"])
    assert ask(place / "data", "check") == (0, {"findings": []})


def test_a_second_agent_is_refused(running: Daemon, place: Path) -> None:
    code, document = ask(place / "data", "run", "--port", "0")
    assert (code, document["error"]["code"]) == (BUSY, "already-running")
    assert str(running.process.pid) in document["error"]["detail"]
    assert ask(place / "data", "status")[0] == 0  # the first one did not notice


def test_a_restore_under_a_running_agent_is_refused(running: Daemon, place: Path) -> None:
    backup = ask(place / "data", "backup")[1]["folder"]
    code, document = ask(place / "data", "restore", backup, "--yes")
    assert (code, document["error"]["code"]) == (BUSY, "already-running")
    assert running.process.poll() is None


def test_a_port_that_is_taken_is_named(running: Daemon, tmp_path: Path) -> None:
    port = running.url.rpartition(":")[2]
    code, document = ask(tmp_path / "other", "run", "--port", port)
    assert (code, document["error"]["code"]) == (BUSY, "port-taken")
    assert port in document["error"]["detail"]


def test_the_token_is_for_its_owner_only_and_never_printed(running: Daemon, place: Path) -> None:
    token = place / "data" / "run" / "install-token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.read_text() not in (place / "agent.log").read_text()
    answer = httpx.get(f"{running.url}/api/v1/sessions", trust_env=False, timeout=WAIT_S)
    assert answer.status_code == 401


def test_a_reader_that_has_seen_enough_is_no_error(running: Daemon, place: Path) -> None:
    assert running.process.poll() is None
    pipe = subprocess.Popen(
        [PROGRAM, "--data-dir", place / "data", "audit", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert pipe.stdout is not None
    pipe.stdout.close()
    _, errors = "", pipe.stderr.read() if pipe.stderr else ""
    assert (pipe.wait(WAIT_S), errors) == (0, "")
    assert pipe.stderr is not None
    pipe.stderr.close()


def test_a_stranger_on_the_old_port_never_gets_the_token(tmp_path: Path) -> None:
    """An agent that crashed leaves its address behind; somebody else may answer there now."""
    data_dir = tmp_path / "data"
    (data_dir / "run").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(0.0)
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        (data_dir / "run" / "agent.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))
        assert ask(data_dir, "status")[0] == BUSY
        with pytest.raises(BlockingIOError):
            stranger.accept()  # nobody even knocked


def test_sigterm_ends_in_order_and_the_rest_works_without_the_agent(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with daemon(data_dir) as agent:
        assert (data_dir / "run" / "agent.json").exists()
        assert agent.terminate() == 0
    assert not (data_dir / "run" / "agent.json").exists()
    assert not (data_dir / "edge.db-wal").exists()
    code, report = ask(data_dir, "master", "import", make_bundle(tmp_path / "bundle"))
    assert (code, report["counts"]["products"]["added"]) == (0, 1)
    assert ask(data_dir, "check") == (0, {"findings": []})


@pytest.fixture
def _listens_to_ctrl_c() -> Iterator[None]:
    """What is started in the background of a shell does not, nor does what that starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_listens_to_ctrl_c")
def test_ctrl_c_is_an_interruption(tmp_path: Path) -> None:
    with daemon(tmp_path / "data") as agent:
        agent.process.send_signal(signal.SIGINT)
        assert agent.process.wait(WAIT_S) == 130
    assert not (tmp_path / "data" / "run" / "agent.json").exists()
    assert not (tmp_path / "data" / "edge.db-wal").exists()


def test_a_data_directory_that_cannot_be_made_is_a_clear_error() -> None:
    done = command(Path("/proc/edge-agent-test"), "run", "--port", "0")  # where not even root may write
    assert done.returncode == BUSY
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


def test_killed_twice_in_the_middle_every_picture_is_inspected_once(tmp_path: Path) -> None:
    data_dir, folder = tmp_path / "data", tmp_path / "line"
    folder.mkdir()
    pictures: dict[str, bytes] = {}
    with daemon(data_dir) as agent, client_of(data_dir, agent) as client:
        assert ask(data_dir, "master", "import", make_bundle(tmp_path / "bundle"))[0] == 0
        add_folder(client, folder)
        kill_at_work(agent, client, folder, pictures)
    with daemon(data_dir) as agent, client_of(data_dir, agent) as client:
        kill_at_work(agent, client, folder, pictures)
    with daemon(data_dir) as agent, client_of(data_dir, agent) as client:
        wait_for(lambda: not any(folder.iterdir()))
        results = all_results(client)
        assert agent.terminate() == 0
    expected = {name: ["OK" if int(name[1:5]) % 2 else "NG"] for name in pictures}
    assert results == expected
    code, document = ask(data_dir, "check")
    assert code == 0
    # a file written just before its row is garbage: the folder still had the picture, and brought it again
    assert {one["code"] for one in document["findings"]} <= {"image-orphan", "derived-orphan"}
    left = [data_dir / one["subject"] for one in document["findings"] if one["code"] == "image-orphan"]
    assert {path.read_bytes() for path in left} <= set(pictures.values())


def add_folder(client: httpx.Client, folder: Path) -> None:
    body = {
        "path": str(folder),
        "product": "PLATE",
        "item": "look",
        "pattern": r"(?P<serial>S\d\d)\d+\.png",
        "session": "auto",
        "settle_s": 0,
    }
    assert client.put("/folders/line", json=body).status_code == 200


def client_of(data_dir: Path, agent: Daemon) -> httpx.Client:
    token = (data_dir / "run" / "install-token").read_text()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{agent.url}/api/v1", headers=headers, timeout=WAIT_S, trust_env=False)


def folder_status(client: httpx.Client) -> dict[str, int]:
    [folder] = client.get("/folders").json()["folders"]
    return dict(folder["status"] or {"taken": 0, "duplicates": 0, "waiting": PICTURES})


def kill_at_work(agent: Daemon, client: httpx.Client, folder: Path, pictures: dict[str, bytes]) -> None:
    """With the first batch through and more to do. Pictures are added until the agent is met at its work: it may
    have done them all before this process has its turn."""
    while True:
        done = work_done(client)
        drop(folder, pictures)
        wait_for(partial(has_done_more, client, done))
        agent.process.send_signal(signal.SIGSTOP)
        if any(folder.iterdir()):
            return agent.kill()
        agent.process.send_signal(signal.SIGCONT)


def drop(folder: Path, pictures: dict[str, bytes]) -> None:
    for number in range(len(pictures), len(pictures) + PICTURES):
        name = f"S{number:04}.png"
        pictures[name] = png(255 * (number % 2), salt=number)
        (folder.parent / name).write_bytes(pictures[name])
        (folder.parent / name).rename(folder / name)


def has_done_more(client: httpx.Client, than: int) -> bool:
    return work_done(client) > than


def work_done(client: httpx.Client) -> int:
    return folder_status(client)["taken"] + folder_status(client)["duplicates"]


def all_results(client: httpx.Client) -> dict[str, list[str]]:
    """File name → AI verdicts on it, when every picture has been taken and judged."""

    def is_idle() -> bool:
        figures = client.get("/system/metrics").json()
        is_judged = not figures["inference_waiting"] + figures["inference_running"]
        return is_judged and folder_status(client)["waiting"] == 0

    wait_for(is_idle)
    found: dict[str, list[str]] = {}
    wait_for(lambda: found.update(results_now(client)) or all(found.values()), lambda: found)
    return found


def results_now(client: httpx.Client) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    cursor = None
    while True:
        page = client.get("/sessions", params={"limit": 100, **({"cursor": cursor} if cursor else {})}).json()
        for session in page["sessions"]:
            trace = client.get(f"/sessions/{session['id']}/trace").json()
            names = {image["id"]: image["origin"] for image in trace["images"]}
            assert len(set(names.values())) == len(names), "one picture became two images"
            for name in names.values():
                assert name not in found, "one picture came into two sessions"
                found[name] = []
            for result in trace["ai_results"]:
                found[names[result["image_id"]]].append(result["overall_result"])
        cursor = page["next_cursor"]
        if cursor is None:
            return found
