"""A device at the server's HTTP border: the real application, without a port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from central_server.api.app import create_app
from central_server.api.services import Services
from central_server.api.waiting import Waiting
from central_server.blobs import Blobs
from central_server.config import load_config
from central_server.devices import issue_code
from central_server.masters.office import open_office
from central_server.objects import Objects, StoreSettings
from central_server.pages import Pages
from central_server.store.database import Database
from central_server.store.listening import Listener
from central_server.watch import StoreWatch
from edge_agent.clock import Clock
from sync_protocol.messages import (
    EnrollReply,
    EnrollRequest,
    HelloReply,
    HelloRequest,
    Message,
    ProblemDetails,
    PushOp,
    PushReply,
    PushRequest,
)
from sync_protocol.wire import pack, read, read_push_reply, unpack, write, write_push
from tests.central.devices import CLOCK

ADMIN_TOKEN = "the owner of the machine"
SEALED = {"Content-Type": "application/json", "Content-Encoding": "zstd"}


@contextmanager
def serving(
    database: Database, data_dir: Path, objects: Objects | None = None, **settings: Any
) -> Iterator[TestClient]:
    """One server process' application on this database."""
    with (
        services_on(database, data_dir, objects, **settings) as services,
        TestClient(create_app(services), base_url="http://central", raise_server_exceptions=False) as client,
    ):
        yield client


@contextmanager
def services_on(
    database: Database, data_dir: Path, objects: Objects | None = None, **settings: Any
) -> Iterator[Services]:
    """Without `objects`, the object store is down."""
    config = load_config(data_dir, **settings)
    waiting = Waiting(config.max_listeners)
    listener = Listener(database.url, waiting.publish)
    listener.start()
    store = objects or down_store()
    yield Services(
        config=config,
        clock=CLOCK,
        database=database,
        pages=Pages(database, CLOCK),
        waiting=waiting,
        blobs=Blobs(database, store),
        office=open_office(database, store, CLOCK, data_dir, ADMIN_TOKEN),
        store_watch=StoreWatch(store),
    )
    waiting.close()
    listener.close()


@cache
def down_store() -> Objects:
    return Objects(StoreSettings("http://127.0.0.1:9", "images", "key", "secret"), Clock())


class Caller:
    """A device's requests, sealed as the protocol says. `answer` is the last one as it came."""

    def __init__(self, client: TestClient, device_id: str, incarnation: str, token: str = "") -> None:
        self.client = client
        self.device_id, self.incarnation, self.token = device_id, incarnation, token

    def post(self, path: str, document: bytes, **headers: str) -> Any:
        sent = SEALED | {"Authorization": f"Bearer {self.token}"} | headers
        return self.client.post(f"/api/v1{path}", content=pack(document), headers=sent)

    def get(self, path: str, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.client.get(f"/api/v1{path}", params=query, headers=headers)

    def enrol(self, code: str) -> Any:
        return self.post("/devices/enroll", write(enrol_request(self.device_id, code)))

    def hello(self, **changed: Any) -> Any:
        return self.post("/sync/hello", write(hello_request(self.device_id, self.incarnation, **changed)))

    def push(self, ops: list[PushOp], **changed: Any) -> Any:
        return self.post("/sync/push", write_push(self.request(ops, **changed)))

    def pushed(self, ops: list[PushOp]) -> PushReply:
        request = self.request(ops)
        return read_push_reply(document_of(self.post("/sync/push", write_push(request))), request)

    def request(self, ops: list[PushOp], **changed: Any) -> PushRequest:
        values = {"batch_id": CLOCK.new_id(), "incarnation": self.incarnation, "ops": tuple(ops)}
        return PushRequest(**(values | changed))


def enrolled(client: TestClient, database: Database, device_id: str, incarnation: str) -> Caller:
    """A device that has a token."""
    caller = Caller(client, device_id, incarnation)
    code = issue_code(database, CLOCK, "Plant 1", 3600).code
    caller.token = read(EnrollReply, document_of(caller.enrol(code))).token
    return caller


def enrol_request(device_id: str, code: str) -> EnrollRequest:
    return EnrollRequest(code=code, device_id=device_id, device_type="tablet", app_version="1.0")


def hello_request(device_id: str, incarnation: str, **changed: Any) -> HelloRequest:
    values: dict[str, Any] = {
        "device_id": device_id,
        "incarnation": incarnation,
        "app_version": "1.0",
        "protocol_versions": (1,),
        "schema_version": 1,
        "queue_head": 0,
        "last_seq": 0,
        "last_ack": 0,
        "cursors": {},
    }
    return HelloRequest(**(values | changed))


def document_of(response: Any) -> bytes:
    """The verified document of a success."""
    assert response.status_code == 200, response.text
    return unpack(response.content, "")  # the client has undone the Content-Encoding


def hello_of(response: Any) -> HelloReply:
    return read(HelloReply, document_of(response))


def problem_of(response: Any) -> ProblemDetails:
    assert response.headers["content-type"] == "application/problem+json"
    problem = ProblemDetails.model_validate_json(response.content)
    assert problem.status == response.status_code
    wait = response.headers.get("retry-after")
    assert (wait is not None) == (problem.retry_after is not None)
    return problem


def sealed(message: Message) -> bytes:
    return pack(write(message))
