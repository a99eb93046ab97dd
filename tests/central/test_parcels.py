"""Queues that came on a stick: taken in like any other, once, and only if this server's device wrote them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from central_server.errors import Refused
from central_server.objects import Found, Objects
from central_server.parcels import TakenIn, take_in
from central_server.store.database import Database
from edge_agent.errors import AgentError, BadDefinition, BadInput
from sync_protocol import parcels
from tests.central.devices import CLOCK, Device, edited
from tests.parcels import make_parcel, packed

TakeIn = Callable[[Path], TakenIn]


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Nobody watches."""


@pytest.fixture
def token_sha256(database: Database, device: Device) -> str:
    found = hashlib.sha256(device.device_id.encode()).hexdigest()
    with database.write() as tx:
        tx.execute("UPDATE devices SET token_sha256 = %s WHERE device_id = %s", (found, device.device_id))
    return found


@pytest.fixture
def take(database: Database, objects: Objects, tmp_path: Path) -> TakeIn:
    return lambda file: take_in(database, objects, CLOCK, file, tmp_path, quiet)


@pytest.fixture
def make(device: Device, token_sha256: str, tmp_path: Path) -> Callable[..., Path]:
    """Writes a parcel of one whole inspection with two photographs; arguments make it wrong."""

    def making(**wrong: Any) -> Path:
        device.store.inspect()
        bodies = wrong.pop("bodies", None) or [packed(device.outbox(), device.incarnation)]
        key, photographs = wrong.pop("token", token_sha256), wrong.pop("photographs", [b"one", b"two"])
        path = tmp_path / "queue.zip"
        return make_parcel(path, device.device_id, key, device.incarnation, bodies, photographs, **wrong)

    return making


def test_rows_and_photographs_arrive_and_the_device_is_told(
    device: Device, objects: Objects, token_sha256: str, make: Callable[..., Path], take: TakeIn
) -> None:
    taken = take(make())
    ops = device.outbox()
    assert (taken.applied, taken.known, taken.waiting, taken.rejected) == (len(ops), 0, 0, 0)
    assert device.count("ai_inspection_results") == 1
    photographs = {hashlib.sha256(data).hexdigest() for data in (b"one", b"two")}
    assert {objects.look(name)[0] for name in photographs} == {Found.VERIFIED}
    ack = parcels.read_ack(taken.ack, parcels.key_of(token_sha256, "parcel-ack/1"))
    assert set(ack.blobs) == photographs
    assert [result.op_id for reply in ack.replies for result in reply.results] == [op.op_id for op in ops]
    assert [reply.ack for reply in ack.replies] == [1]
    assert (ack.parcel_id, ack.device_id) == (taken.manifest.id, device.device_id)


def test_taken_in_twice_and_sent_again_it_is_there_once(
    device: Device, make: Callable[..., Path], take: TakeIn
) -> None:
    parcel = make()
    first, second = take(parcel), take(parcel)
    assert (second.applied, second.photographs) == (first.applied, 2)
    ops = device.outbox()
    assert {outcome for outcome, _ in device.outcomes(ops)} == {"applied"}
    assert device.count("inspection_sessions") == 1
    assert device.count("sync_ops") == len(ops)


def test_what_the_device_sent_before_is_known(
    device: Device, make: Callable[..., Path], take: TakeIn
) -> None:
    parcel = make()
    device.push(device.outbox())
    assert take(parcel).rejected == 0
    assert device.count("inspection_images") == 1


def test_a_refused_row_is_told_and_the_others_arrive(
    device: Device, make: Callable[..., Path], take: TakeIn, token_sha256: str
) -> None:
    device.store.inspect()
    ops = device.outbox()
    last = ops[-1]
    poisoned = edited(last, fields={"status": 7}) if last.operation == "UPDATE" else last
    taken = take(make(bodies=[packed([*ops[:-1], poisoned], device.incarnation)]))
    assert (taken.applied, taken.rejected) == (len(ops) - 1, 1)
    ack = parcels.read_ack(taken.ack, parcels.key_of(token_sha256, "parcel-ack/1"))
    assert [result.code for result in ack.replies[0].results if result.outcome == "rejected"] == [
        "row-invalid"
    ]


def test_a_part_that_came_too_early_waits(device: Device, make: Callable[..., Path], take: TakeIn) -> None:
    device.store.inspect()
    ops = device.outbox()
    taken = take(make(bodies=[packed(ops[1:], device.incarnation)]))
    assert (taken.applied, taken.waiting) == (0, len(ops) - 1)
    assert take(make(bodies=[packed(ops, device.incarnation)])).applied == len(ops)


def broken_manifest(parcel: Path) -> bytes:
    with zipfile.ZipFile(parcel) as archive:
        document = json.loads(archive.read(parcels.MANIFEST))
    return json.dumps(document | {"part": 2}).encode()


WRONG: dict[str, dict[str, Any]] = {
    "another token": {"token": "ab" * 32},
    "no signature": {"members": {parcels.SIGNATURE: b""}},
    "a signature too long": {"members": {parcels.SIGNATURE: b" " * 2000}},
    "a member changed": {"members": {f"blobs/{hashlib.sha256(b'one').hexdigest()}": b"two"}},
    "a member more": {"members": {"blobs/" + "0" * 64: b"x"}},
    "a member less": {"blobs": ()},
    "another's manifest": {"device_id": CLOCK.new_id()},
    "a body damaged": {"bodies": [b"\x28\xb5\x2f\xfd nonsense"]},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_this_device_did_not_write_is_refused_whole(
    device: Device, make: Callable[..., Path], take: TakeIn, wrong: dict[str, Any]
) -> None:
    with pytest.raises(BadInput) as refused:
        take(make(**wrong))
    assert refused.value.code_ == "parcel-invalid"
    assert device.count("inspection_targets") == 0


def test_a_manifest_changed_after_signing_is_refused(
    device: Device, make: Callable[..., Path], take: TakeIn
) -> None:
    document = broken_manifest(make())
    with pytest.raises(BadInput) as refused:
        take(make(members={parcels.MANIFEST: document}))
    assert refused.value.code_ == "parcel-invalid"
    assert device.count("inspection_targets") == 0


@pytest.mark.parametrize("end", ["unknown", "revoked"])
def test_a_device_that_is_not_let_in_is_not_let_in_by_stick(
    database: Database, device: Device, make: Callable[..., Path], take: TakeIn, end: str
) -> None:
    parcel = make()
    sql = {
        "unknown": "DELETE FROM devices WHERE device_id = %s",
        "revoked": "UPDATE devices SET revoked_at = now() WHERE device_id = %s",
    }[end]
    with database.write() as tx:
        tx.execute(sql.encode(), (device.device_id,))
    with pytest.raises(Refused) as refused:
        take(parcel)
    assert refused.value.code.code == "device-unknown"


def test_a_zip_bomb_and_what_is_no_zip_are_refused_before_they_are_unpacked(
    tmp_path: Path, make: Callable[..., Path], take: TakeIn
) -> None:
    bomb = make(photographs=[bytes(50 << 20)], compression=zipfile.ZIP_DEFLATED)
    nothing = tmp_path / "nothing.zip"
    nothing.write_bytes(b"not a zip at all")
    for file in (bomb, nothing):
        with pytest.raises((BadInput, BadDefinition)) as refused:
            take(file)
        assert isinstance(refused.value, AgentError)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("parcel-")] == []
