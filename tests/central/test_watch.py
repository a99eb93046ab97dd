"""A store that is full, away or back again is named as what it is: over HTTP, on the command line, in the log once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from central_server.cli.main import run
from central_server.errors import Unavailable
from central_server.objects import Objects, StoreSettings
from central_server.store.database import Database
from central_server.watch import StoreWatch
from edge_agent.cli.exits import Exit
from edge_agent.clock import Clock
from tests.central.caller import problem_of, serving
from tests.servers import StoreServer, object_store
from tests.waiting import wait_for

ROOM_FOR_ONE = {"volume.max": 1, "master.volumeSizeLimitMB": 64}
"""One volume, of which the first bucket takes all."""


def bucket(server: StoreServer, name: str) -> Objects:
    return Objects(StoreSettings(server.url, name, server.access_key, server.secret_key), Clock())


def watch_of(client: Any) -> StoreWatch:
    watch: StoreWatch = client.app.state.services.store_watch
    return watch


def status_of(
    server: StoreServer, name: str, url: str, place: Path, monkeypatch: Any, capsys: Any
) -> tuple[int, str]:
    settings = {"DATA_DIR": place, "DATABASE_URL": url, "S3_ENDPOINT": server.url, "S3_BUCKET": name}
    settings |= {"S3_ACCESS_KEY": server.access_key, "S3_SECRET_KEY": server.secret_key}
    for key, value in settings.items():
        monkeypatch.setenv(f"CENTRAL_SERVER_{key}", str(value))
    code = run(["status", "--json"])
    return code, json.loads(capsys.readouterr().out)["object_store"]


def test_a_full_store_is_called_full(
    database: Database,
    url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with object_store(ROOM_FOR_ONE) as server:
        well, full = bucket(server, "first"), bucket(server, "second")
        with serving(database, tmp_path, well) as client:
            watch_of(client).step()
            assert client.get("/health/store").json() == {"status": "ready"}
        assert status_of(server, "first", url, tmp_path, monkeypatch, capsys) == (Exit.DONE, "well")
        with serving(database, tmp_path, full) as client:
            watch_of(client).step()
            watch_of(client).step()
            problem = problem_of(client.get("/health/store"))
            assert (problem.status, problem.code, problem.retryable) == (507, "store-full", True)
            assert client.get("/health/ready").status_code == 200, "rows go on"
            assert "central_object_store_well 0" in client.get("/metrics").text
        code, said = status_of(server, "second", url, tmp_path, monkeypatch, capsys)
        assert code == Exit.FINDINGS
        assert said.startswith("store-full: ")
        assert "Free room" in said
        well.close()
        full.close()
    assert [
        record.getMessage().count("it is full") for record in caplog.records if record.name.endswith("watch")
    ] == (
        [1, 1]  # once for the server, once for `status`
    )


def test_a_store_that_comes_back_is_prepared_and_said_to_be_well(
    store_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    objects = bucket(store_server, "comes-back")
    watch = StoreWatch(objects)
    store_server.stop()
    watch.step()
    assert watch.trouble is not None
    assert watch.trouble.code.code == "store-unavailable"
    store_server.start()

    def is_well() -> bool:
        watch.step()
        return watch.trouble is None

    wait_for(is_well, lambda: watch.trouble)  # its parts find each other again
    assert objects.get(objects.put(b"picture")) == b"picture"
    assert caplog.messages[-1] == "the object store is well again"
    objects.close()


def test_keys_the_store_does_not_know_are_no_lack_of_room(store_server: StoreServer) -> None:
    objects = Objects(StoreSettings(store_server.url, "any", "nobody", "wrong"), Clock())
    with pytest.raises(Unavailable) as caught:
        objects.require_room()
    assert caught.value.code.code == "store-unavailable"
    objects.close()
