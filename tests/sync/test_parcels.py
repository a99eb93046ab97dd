"""The unsent queue as files, and the server's answer to them: written whole, believed only from the right server."""

from __future__ import annotations

import hashlib
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import BadInput, Conflict, Unavailable
from edge_agent.models import Actor
from edge_agent.store import audit, dead
from edge_agent.store.soundness import queue_faults
from edge_agent.sync import device, parcels
from edge_agent.sync.device import Standing
from edge_agent.sync.jobs import Cancelled, Progress
from edge_agent.sync.parcel_acks import Settled, settle_ack
from edge_agent.sync.parcels import Sender
from sync_protocol import parcels as protocol
from sync_protocol import wire
from sync_protocol.messages import OpResult, PushReply, PushRequest
from tests.store_factory import Store

TOMO = Actor("tomo")
INCARNATION = "018f0000-0000-7000-8000-00000000000a"
EPOCH = "018f0000-0000-7000-8000-0000000000ee"
DEVICE_ID = "018f0000-0000-7000-8000-0000000000dd"
TOKEN = protocol.token_sha256("the device's token")
SENDER = Sender(DEVICE_ID, TOKEN, Standing(INCARNATION, EPOCH))
Export = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "data")
    opened.add_masters()
    with opened.database.write() as tx:
        device.keep(tx, SENDER.standing)
    yield opened
    opened.close()


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


@pytest.fixture
def export(store: Store, stick: Path) -> Export:
    def exporting(name: str = "queue.zip", **more: Any) -> dict[str, Any]:
        report = more.pop("report", lambda _progress: None)
        place = (store.database, store.blobs, store.clock, SENDER, stick / name, TOMO, report)
        return dict(parcels.export(*place, **more))

    return exporting


def manifest_of(path: Path) -> protocol.Manifest:
    with zipfile.ZipFile(path) as archive:
        signature = protocol.read_signature(archive.read(protocol.SIGNATURE))
        document = archive.read(protocol.MANIFEST)
    return protocol.read_manifest(document, signature.proof, protocol.key_of(TOKEN, "parcel/1"))


def requests_of(path: Path) -> list[PushRequest]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("batches/")]
        return [wire.read_push(wire.unpack(archive.read(name))) for name in names]


def waiting(store: Store) -> list[int]:
    with store.database.read() as reader:
        rows = reader.execute("SELECT id FROM sync_queue WHERE processed_at IS NULL ORDER BY id")
        return [row[0] for row in rows]


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_file_holds_every_row_in_order_and_every_photograph(
    store: Store, stick: Path, export: Export
) -> None:
    for _ in range(3):
        store.inspect()
    written = export()
    assert written["files"] == [str(stick / "queue.zip")]
    ops = [op for request in requests_of(stick / "queue.zip") for op in request.ops]
    assert [op.seq for op in ops] == waiting(store)
    assert (written["rows"], written["photographs"], written["left_behind"]) == (len(ops), 3, 0)
    manifest = manifest_of(stick / "queue.zip")
    assert (manifest.device_id, manifest.incarnation, manifest.is_last) == (DEVICE_ID, INCARNATION, True)
    with zipfile.ZipFile(stick / "queue.zip") as archive:
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        for one in manifest.blobs:
            assert hashlib.sha256(archive.read(f"blobs/{one.sha256}")).hexdigest() == one.sha256
        for batch in manifest.batches:
            assert hashlib.sha256(archive.read(f"batches/{batch.name}")).hexdigest() == batch.sha256


def test_writing_changes_nothing_and_says_so_in_the_trail(store: Store, export: Export) -> None:
    store.inspect()
    before = waiting(store)
    export()
    assert waiting(store) == before
    with store.database.read() as reader:
        [entry, *_] = audit.list_entries(reader)
        assert list(queue_faults(reader)) == []
    assert (entry.actor, entry.action) == ("tomo", "queue.export")
    assert json.loads(entry.detail)["rows"] == len(before)


def test_whole_local_transactions_stay_in_one_batch(
    store: Store, stick: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcels, "ROWS", 3)
    for _ in range(4):
        store.inspect()
    export()
    requests = requests_of(stick / "queue.zip")
    assert [op.seq for request in requests for op in request.ops] == waiting(store)
    for one, other in itertools.pairwise(requests):
        assert one.ops[-1].tx_id != other.ops[0].tx_id
        assert len(one.ops) <= 3


def test_what_was_acknowledged_uploaded_or_refused_stays_here(
    store: Store, stick: Path, export: Export
) -> None:
    store.inspect()
    store.inspect()
    with store.database.write() as tx:
        tx.execute("UPDATE sync_queue SET processed_at = 'x' WHERE id <= 3")
        tx.execute("UPDATE sync_queue SET dead_at = 'x' WHERE id = 5")
        tx.execute(
            "UPDATE inspection_images SET uploaded_at = 'x' WHERE id = (SELECT min(id) FROM inspection_images)"
        )
    written = export()
    [request] = requests_of(stick / "queue.zip")
    assert [op.seq for op in request.ops][:2] == [4, 6]
    assert written["photographs"] == 1


def test_what_is_damaged_stays_here_and_is_counted(store: Store, stick: Path, export: Export) -> None:
    store.inspect()
    store.inspect()
    [first, second] = sorted((store.data_dir / "images").rglob("*.png"))
    first.write_bytes(b"something else")
    second.unlink()
    with store.database.write() as tx:
        tx.execute("UPDATE sync_queue SET sha256 = ? WHERE id = 2", ("0" * 64,))
    written = export()
    assert (written["left_behind"], written["photographs"]) == (3, 0)
    [request] = requests_of(stick / "queue.zip")
    assert [op.seq for op in request.ops][:2] == [1, 3]


def test_a_queue_larger_than_a_file_becomes_several_each_whole(
    store: Store, stick: Path, export: Export
) -> None:
    for _ in range(6):
        store.inspect()
    written = export(part_bytes=12_000)
    assert len(written["files"]) > 2
    assert written["files"][:2] == [str(stick / "queue.zip"), str(stick / "queue-2.zip")]
    manifests = [manifest_of(Path(name)) for name in written["files"]]
    assert [one.part for one in manifests] == list(range(1, len(manifests) + 1))
    assert [one.is_last for one in manifests] == [False] * (len(manifests) - 1) + [True]
    assert len({one.id for one in manifests}) == 1
    assert all(Path(name).stat().st_size <= 12_000 for name in written["files"])
    assert sum(len(one.blobs) for one in manifests) == 6


def test_nothing_unsent_makes_no_file(stick: Path, export: Export) -> None:
    assert export()["files"] == []
    assert list(stick.iterdir()) == []


def test_no_file_is_replaced_and_none_is_made_in_nowhere(store: Store, stick: Path, export: Export) -> None:
    store.inspect()
    (stick / "queue.zip").write_bytes(b"mine")
    for name in ("queue.zip", "no-such-folder/queue.zip"):
        with pytest.raises(BadInput) as refused:
            export(name)
        assert refused.value.code_ == "export-file"
    assert [path.read_bytes() for path in stick.iterdir()] == [b"mine"]


def test_a_stop_or_a_full_stick_leaves_no_file(
    store: Store, stick: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        store.inspect()

    def stop(progress: Progress) -> None:
        if progress.step == "photographs" and progress.done == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        export(report=stop, part_bytes=12_000)
    assert list(stick.iterdir()) == []

    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parcels, "sync_file", full)
    with pytest.raises(Unavailable) as refused:
        export()
    assert refused.value.code_ == "export-failed"
    assert list(stick.iterdir()) == []


# ── the answer ──────────────────────────────────────────────────────────────────────────────────────────


def ack_of(
    path: Path, *, token: str = TOKEN, outcomes: dict[int, OpResult] | None = None, **changed: Any
) -> bytes:
    """What a server that applied everything would write; `outcomes` by seq, `changed` the facts."""
    manifest, said = manifest_of(path), outcomes or {}
    replies = tuple(
        PushReply(
            batch_id=request.batch_id,
            ack=number,
            server_epoch=EPOCH,
            server_time="2026-11-23T12:00:00.000Z",
            results=tuple(said.get(op.seq, OpResult(op.op_id, "applied")) for op in request.ops),
        )
        for number, request in enumerate(requests_of(path), 1)
    )
    facts: dict[str, Any] = {
        "parcel_id": manifest.id,
        "part": manifest.part,
        "device_id": DEVICE_ID,
        "incarnation": INCARNATION,
        "server_epoch": EPOCH,
        "made_at": "2026-11-23T12:00:00.000Z",
        "replies": replies,
        "blobs": tuple(one.sha256 for one in manifest.blobs),
    }
    ack = protocol.Acknowledgement(**{**facts, **changed})
    return protocol.write_ack(ack, protocol.key_of(token, "parcel-ack/1"))


def settled(store: Store, data: bytes) -> Settled:
    return settle_ack(store.database, store.clock, DEVICE_ID, TOKEN, data, TOMO)


def test_the_answer_settles_what_it_names_and_nothing_made_since(
    store: Store, stick: Path, export: Export
) -> None:
    store.inspect()
    export()
    old = waiting(store)
    store.inspect()
    data = ack_of(stick / "queue.zip")
    assert settled(store, data) == Settled(settled=len(old), images=1)
    assert waiting(store) == [number + old[-1] for number in old]
    with store.database.read() as reader:
        standing = device.standing_of(reader)
        [left] = reader.execute("SELECT count(*) FROM inspection_images WHERE uploaded_at IS NULL").fetchone()
        row = reader.execute("SELECT ack, incarnation FROM sync_queue WHERE id = 1").fetchone()
    assert (standing.last_ack, standing.last_seq, left) == (1, old[-1], 1)
    assert tuple(row) == (1, INCARNATION)
    assert settled(store, data).settled == 0


def test_an_old_answer_never_makes_a_count_go_back(store: Store, stick: Path, export: Export) -> None:
    store.inspect()
    export()
    with store.database.write() as tx:
        device.keep(tx, Standing(INCARNATION, EPOCH, last_seq=900, last_ack=30))
    settled(store, ack_of(stick / "queue.zip"))
    with store.database.read() as reader:
        standing = device.standing_of(reader)
    assert (standing.last_seq, standing.last_ack, standing.lost_after_ack) == (900, 30, None)


def test_what_the_server_refused_waits_for_a_person_and_the_rest_goes_on_waiting(
    store: Store, stick: Path, export: Export
) -> None:
    store.inspect()
    export()
    ops = {op.seq: op for request in requests_of(stick / "queue.zip") for op in request.ops}
    last = max(ops)
    outcomes = {
        last: OpResult(ops[last].op_id, "rejected", "row-invalid", "no"),
        last - 1: OpResult(ops[last - 1].op_id, "deferred", "parent-missing", "not yet"),
        last - 2: OpResult(ops[last - 2].op_id, "superseded", "", '{"id": "theirs"}'),
    }
    found = settled(store, ack_of(stick / "queue.zip", outcomes=outcomes))
    assert (found.settled, found.refused, found.waiting) == (len(ops) - 2, 1, 1)
    with store.database.read() as reader:
        [letter] = dead.list_dead(reader, 0, 10)
        [conflict] = reader.execute("SELECT entity_id, server_data FROM conflict_log").fetchall()
    assert (letter.id, letter.error_code, waiting(store)) == (last, "row-invalid", [last - 1, last])
    assert tuple(conflict) == (ops[last - 2].entity_id, '{"id": "theirs"}')


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: b"0" * 64 + data[64:],
        lambda data: data[:70] + bytes([data[70] ^ 1]) + data[71:],
        lambda data: b"",
        lambda data: b"<html>" + data,
    ],
)
def test_an_answer_that_is_not_the_servers_changes_nothing(
    store: Store, stick: Path, export: Export, spoil: Callable[[bytes], bytes]
) -> None:
    store.inspect()
    export()
    before = waiting(store)
    with pytest.raises(BadInput) as refused:
        settled(store, spoil(ack_of(stick / "queue.zip")))
    assert (refused.value.code_, waiting(store)) == ("ack-invalid", before)


def test_neither_another_devices_answer_nor_our_own_parcel_key_counts(
    store: Store, stick: Path, export: Export
) -> None:
    store.inspect()
    export()
    with pytest.raises(BadInput):
        settled(store, ack_of(stick / "queue.zip", token="cd" * 32))
    assert protocol.key_of(TOKEN, "parcel/1") != protocol.key_of(TOKEN, "parcel-ack/1")


@pytest.mark.parametrize("changed", [{"server_epoch": INCARNATION}, {"device_id": INCARNATION}])
def test_an_answer_from_before_a_restore_is_not_believed(
    store: Store, stick: Path, export: Export, changed: dict[str, Any]
) -> None:
    store.inspect()
    export()
    before = waiting(store)
    with pytest.raises(Conflict) as refused:
        settled(store, ack_of(stick / "queue.zip", **changed))
    assert (refused.value.code_, waiting(store)) == ("ack-outdated", before)
