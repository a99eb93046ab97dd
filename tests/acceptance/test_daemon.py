"""The installed program: started, asked, doubled, stopped, killed in the middle of its work."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.program import PROGRAM, WAIT_S, Daemon, ask, command, daemon
from tests.api_agent import make_bundle, png

PICTURES = 400
BUSY, FINDINGS = 7, 9


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
    assert httpx.get(f"{running.url}/api/v1/sessions", trust_env=False).status_code == 401


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
    assert ask(data_dir, "status")[1]["is_running"] is False
    code, report = ask(data_dir, "master", "import", make_bundle(tmp_path / "bundle"))
    assert (code, report["counts"]["products"]["added"]) == (0, 1)
    assert ask(data_dir, "check") == (0, {"findings": []})


def test_ctrl_c_is_an_interruption(tmp_path: Path) -> None:
    with daemon(tmp_path / "data") as agent:
        agent.process.send_signal(signal.SIGINT)
        assert agent.process.wait(WAIT_S) == 130
    assert not (tmp_path / "data" / "run" / "agent.json").exists()
    assert not (tmp_path / "data" / "edge.db-wal").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_data_directory_is_a_clear_error(tmp_path: Path) -> None:
    _read_only_is_clear(tmp_path / "data")


def test_a_data_directory_that_cannot_be_made_is_a_clear_error() -> None:
    _read_only_is_clear(Path("/proc/edge-agent-test"))  # where not even root may write


def _read_only_is_clear(data_dir: Path) -> None:
    if data_dir.parent != Path("/proc"):
        data_dir.mkdir(mode=0o500)
    done = command(data_dir, "run", "--port", "0")
    assert done.returncode == BUSY
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_killed_twice_in_the_middle_every_picture_is_inspected_once(tmp_path: Path) -> None:
    data_dir, folder = tmp_path / "data", tmp_path / "line"
    folder.mkdir()
    for number in range(PICTURES):
        (folder / f"S{number:04}.png").write_bytes(png(255 * (number % 2), salt=number))
    with daemon(data_dir) as agent:
        assert ask(data_dir, "master", "import", make_bundle(tmp_path / "bundle"))[0] == 0
        client = client_of(data_dir, agent)
        body = {
            "path": str(folder),
            "product": "PLATE",
            "item": "look",
            "pattern": r"(?P<serial>S\d+)\.png",
            "session": "auto",
            "settle_s": 0,
        }
        assert client.put("/folders/line", json=body).status_code == 200
        wait_for_taken(client, 1)
        agent.kill()
    left = len(list(folder.iterdir()))
    assert left, "it was too quick to be killed in the middle: use more pictures"
    with daemon(data_dir) as agent:
        wait_for_taken(client_of(data_dir, agent), 1)
        agent.kill()
    assert len(list(folder.iterdir())) < left
    with daemon(data_dir) as agent:
        results = all_results(client_of(data_dir, agent))
        assert agent.terminate() == 0
    assert list(folder.iterdir()) == []
    assert {name: len(found) for name, found in results.items()} == {
        f"S{number:04}.png": 1 for number in range(PICTURES)
    }
    verdicts = Counter((int(name[1:5]) % 2, found[0]) for name, found in results.items())
    assert verdicts == {(1, "OK"): PICTURES // 2, (0, "NG"): PICTURES // 2}
    assert ask(data_dir, "check") == (0, {"findings": []})


def client_of(data_dir: Path, agent: Daemon) -> httpx.Client:
    token = (data_dir / "run" / "install-token").read_text()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{agent.url}/api/v1", headers=headers, timeout=WAIT_S, trust_env=False)


def wait_for_taken(client: httpx.Client, count: int) -> None:
    """Asks without a pause: the agent is to be met at its work."""
    while True:
        [folder] = client.get("/folders").json()["folders"]
        if folder["status"]["taken"] >= count:
            return


def all_results(client: httpx.Client) -> dict[str, list[str]]:
    """File name → AI verdicts on it, when every picture has been taken and judged."""
    while True:
        metrics = client.get("/system/metrics").json()
        [folder] = client.get("/folders").json()["folders"]
        if (
            folder["status"]["waiting"] == 0
            and not metrics["inference_waiting"] + metrics["inference_running"]
        ):
            found = results_now(client)
            if len(found) == PICTURES and all(found.values()):
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
