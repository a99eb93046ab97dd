"""A server reduced to its promises, behind the real codecs: what every batch, answer and fault is tried against.

Rules of this file:
- Requests are really decoded and answers really encoded; only the tables are Python dictionaries.
- It remembers what it applied and in which order, so that a test can say "exactly once, parents first".
- `faults` are used up one a request; each says what happens instead of, or after, the right thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from edge_agent.clock import Clock
from edge_agent.sync.central import Central
from sync_protocol import wire
from sync_protocol.messages import (
    HelloReply,
    HelloRequest,
    OpResult,
    ProblemDetails,
    PushOp,
    PushReply,
    PushRequest,
)

EPOCH = "018f0000-0000-7000-8000-0000000000ee"
Fault = Callable[["ReferenceServer", httpx.Request], httpx.Response]
Judge = Callable[[PushOp], OpResult | None]
PARENTS = ("target_id", "session_id", "image_id")


@dataclass
class ReferenceServer:
    clock: Clock
    epoch: str = EPOCH
    applied: list[PushOp] = field(default_factory=list)
    ledger: dict[str, tuple[str, OpResult]] = field(default_factory=dict)
    seqs: dict[tuple[str, int], str] = field(default_factory=dict)
    acks: dict[str, int] = field(default_factory=dict)
    batches: list[list[PushOp]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    judge: Judge = lambda _: None
    max_rows: int = 1000

    def central(self) -> Central:
        client = httpx.Client(transport=httpx.MockTransport(self.answer))
        return Central("https://reference", "token", client, self.clock)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.path.removeprefix("/api/v1"))
        return self.faults.pop(0)(self, request) if self.faults else self.right_answer(request)

    def right_answer(self, request: httpx.Request) -> httpx.Response:
        document = wire.unpack(request.read(), request.headers.get("Content-Encoding", ""))
        if request.url.path.endswith("/sync/hello"):
            return sealed(wire.write(self.hello(wire.read(HelloRequest, document))))
        return self.push(wire.read_push(document))

    def hello(self, request: HelloRequest) -> HelloReply:
        mine = [seq for incarnation, seq in self.seqs if incarnation == request.incarnation]
        return HelloReply(
            protocol_version=1,
            schema_version=1,
            server_epoch=self.epoch,
            server_time=self.clock.now(),
            device_last_seq=max(mine, default=0),
            device_last_ack=self.acks.get(request.incarnation, 0),
            heads={"masters": 0},
        )

    def push(self, request: PushRequest) -> httpx.Response:
        if len(request.ops) > self.max_rows:
            return problem("batch-too-large", 413)
        self.batches.append(list(request.ops))
        if any(self._is_twin(request.incarnation, op) for op in request.ops):
            return problem("device-forked", 409)
        results = {op.op_id: self._apply(request.incarnation, op) for op in in_table_order(request.ops)}
        self.acks[request.incarnation] = self.acks.get(request.incarnation, 0) + 1
        reply = PushReply(
            batch_id=request.batch_id,
            ack=self.acks[request.incarnation],
            server_epoch=self.epoch,
            server_time=self.clock.now(),
            results=tuple(results[op.op_id] for op in request.ops),
        )
        return sealed(wire.write_push_reply(reply))

    def _is_twin(self, incarnation: str, op: PushOp) -> bool:
        known = self.ledger.get(op.op_id)
        return (known is not None and known[0] != op.sha256) or self.seqs.get(
            (incarnation, op.seq), op.op_id
        ) != op.op_id

    def _apply(self, incarnation: str, op: PushOp) -> OpResult:
        if op.op_id in self.ledger:
            return self.ledger[op.op_id][1]
        result = self.judge(op) or self._judged(op)
        if result.outcome in ("applied", "duplicate", "superseded"):
            self.ledger[op.op_id] = (op.sha256, result)
            self.seqs[incarnation, op.seq] = op.op_id
        if result.outcome == "applied":
            self.applied.append(op)
        return result

    def _judged(self, op: PushOp) -> OpResult:
        there = {one.entity_id: one for one in self.applied}
        row = json.loads(op.data)
        needed = (
            [row[name] for name in PARENTS if row.get(name)] if op.operation == "INSERT" else [op.entity_id]
        )
        if any(parent not in there for parent in needed):
            return OpResult(op.op_id, "deferred", "parent-missing", "")
        if op.operation == "UPDATE":
            versions = [
                json.loads(one.data)["version"] for one in self.applied if one.entity_id == op.entity_id
            ]
            if max(versions) != op.base_version:
                return OpResult(op.op_id, "deferred", "parent-missing", "")
        if op.operation == "INSERT" and op.entity_id in there:
            return OpResult(op.op_id, "duplicate")
        return OpResult(op.op_id, "applied")


TABLES = (
    "inspection_targets",
    "inspection_sessions",
    "inspection_images",
    "ai_inspection_results",
    "human_verification_results",
)


def in_table_order(ops: tuple[PushOp, ...]) -> list[PushOp]:
    """As the server applies a batch: table by table, then the changes."""
    return sorted(ops, key=lambda op: (op.operation != "INSERT", TABLES.index(op.entity_type), op.seq))


def sealed(document: bytes) -> httpx.Response:
    return httpx.Response(
        200, headers={"Content-Encoding": "zstd"}, stream=httpx.ByteStream(wire.pack(document))
    )


def plain(status: int, body: str = "", **headers: str) -> httpx.Response:
    """What a proxy says; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=httpx.ByteStream(body.encode()))


def problem(code: str, status: int, retry_after: float | None = None) -> httpx.Response:
    document = ProblemDetails(
        title="t",
        status=status,
        detail="Why.",
        code=code,
        retryable=True,
        scope="op",
        retry_after=retry_after,
    )
    return plain(status, document.model_dump_json(), content_type="application/problem+json")


# ── faults ──────────────────────────────────────────────────────────────────────────────────────────────


def answers(make: Callable[[], httpx.Response]) -> Fault:
    """Something in between answers; the server never hears of the request."""
    return lambda _server, _request: make()


def lost(_server: ReferenceServer, _request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route to host")


def lost_after_commit(server: ReferenceServer, request: httpx.Request) -> httpx.Response:
    server.right_answer(request)
    raise httpx.ReadError("connection reset")


def cut(server: ReferenceServer, request: httpx.Request) -> httpx.Response:
    answer = server.right_answer(request)
    body = answer.read() if answer.is_stream_consumed else b"".join(answer.iter_raw())
    return httpx.Response(200, headers=answer.headers, stream=httpx.ByteStream(body[: len(body) // 2]))


def twice(server: ReferenceServer, request: httpx.Request) -> httpx.Response:
    server.right_answer(request)
    return server.right_answer(request)
