"""Blobs at the centre, on a real database and a real object store: permission, proof, and nothing sent twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from central_server.blobs import Blobs
from central_server.errors import Refused, ServerError, Unavailable
from central_server.objects import PLAIN_PUT_BYTES, Objects, StoreSettings
from central_server.store.database import Database
from edge_agent.clock import Clock
from sync_protocol.messages import (
    Blob,
    CompleteRequest,
    HaveReply,
    HaveRequest,
    UploadRequest,
    UploadTicket,
    VerifyReply,
    VerifyRequest,
)
from tests.central.devices import Device
from tests.waiting import WAIT_S

LARGE = PLAIN_PUT_BYTES * 2 + 1000


@pytest.fixture
def blobs(database: Database, objects: Objects) -> Blobs:
    return Blobs(database, objects, max_bytes=32 << 20)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=WAIT_S) as client:
        yield client


class Picture:
    def __init__(self, size: int = 3000) -> None:
        self.data = os.urandom(size)
        self.sha256 = hashlib.sha256(self.data).hexdigest()
        self.blob = Blob(sha256=self.sha256, size=size)

    def send(self, http: httpx.Client, ticket: UploadTicket, only: slice = slice(None)) -> list[int]:
        """Statuses of the ticket's parts as the store answers them."""
        return [
            http.put(
                part.url, content=self.data[part.offset : part.offset + part.size], headers=part.headers
            ).status_code
            for part in ticket.parts[only]
        ]


def have(blobs: Blobs, device: Device, *pictures: Picture, wants_tickets: bool = True) -> HaveReply:
    asked = tuple(picture.blob for picture in pictures)
    return blobs.have(device.device_id, HaveRequest(blobs=asked, wants_tickets=wants_tickets))


def verify(blobs: Blobs, device: Device, *pictures: Picture) -> VerifyReply:
    asked = tuple(picture.blob for picture in pictures)
    return blobs.verify(device.device_id, VerifyRequest(blobs=asked))


def upload(blobs: Blobs, http: httpx.Client, device: Device, picture: Picture) -> None:
    picture.send(http, have(blobs, device, picture).tickets[0])
    assert verify(blobs, device, picture).verified == (picture.sha256,)


def code_of(error: pytest.ExceptionInfo[ServerError]) -> str:
    return error.value.code.code


def test_what_is_missing_comes_with_a_ticket_and_is_sent_once(
    blobs: Blobs, http: httpx.Client, device: Device
) -> None:
    first, second = Picture(), Picture()
    asked = have(blobs, device, first, second)
    assert asked.missing == (first.sha256, second.sha256)
    assert [ticket.sha256 for ticket in asked.tickets] == [first.sha256, second.sha256]
    assert first.send(http, asked.tickets[0]) == [200]
    assert verify(blobs, device, first, second) == VerifyReply(verified=(first.sha256,))
    assert have(blobs, device, first, second).missing == (second.sha256,)
    assert have(blobs, device, second, wants_tickets=False) == HaveReply(missing=(second.sha256,))


def test_large_blobs_resume_where_they_were(blobs: Blobs, http: httpx.Client, device: Device) -> None:
    picture = Picture(LARGE)
    assert have(blobs, device, picture).tickets == ()
    ticket = blobs.upload(picture.sha256, UploadRequest(size=LARGE))
    assert [part.number for part in ticket.parts] == [1, 2, 3]
    assert picture.send(http, ticket, only=slice(0, 2)) == [200, 200]
    again = blobs.upload(picture.sha256, UploadRequest(size=LARGE, upload_id=ticket.upload_id))
    assert (again.upload_id, [part.number for part in again.parts]) == (ticket.upload_id, [3])
    picture.send(http, again)
    request = CompleteRequest(size=LARGE, upload_id=ticket.upload_id)
    assert blobs.complete(device.device_id, picture.sha256, request).is_verified
    assert blobs.complete(device.device_id, picture.sha256, request).is_verified, "the reply was lost"
    assert have(blobs, device, picture).missing == ()


def test_an_upload_the_store_has_forgotten_begins_again(blobs: Blobs, device: Device) -> None:
    picture = Picture(LARGE)
    ticket = blobs.upload(picture.sha256, UploadRequest(size=LARGE, upload_id="never-begun"))
    assert ticket.upload_id not in (None, "never-begun")
    assert len(ticket.parts) == 3
    with pytest.raises(Refused) as refused:
        blobs.complete(device.device_id, picture.sha256, CompleteRequest(size=LARGE, upload_id="never-begun"))
    assert code_of(refused) == "blob-missing"


def test_wrong_parts_are_removed_and_sent_anew(blobs: Blobs, http: httpx.Client, device: Device) -> None:
    picture = Picture(LARGE)
    ticket = blobs.upload(picture.sha256, UploadRequest(size=LARGE))
    other = Picture(LARGE)
    other.send(http, ticket)
    request = CompleteRequest(size=LARGE, upload_id=ticket.upload_id)
    with pytest.raises(Refused) as refused:
        blobs.complete(device.device_id, picture.sha256, request)
    assert code_of(refused) == "blob-differs"
    again = blobs.upload(picture.sha256, UploadRequest(size=LARGE, upload_id=ticket.upload_id))
    assert picture.send(http, again) == [200, 200, 200]
    request = CompleteRequest(size=LARGE, upload_id=again.upload_id)
    assert blobs.complete(device.device_id, picture.sha256, request).is_verified


def test_other_bytes_under_a_name_are_found_and_removed(
    blobs: Blobs, objects: Objects, http: httpx.Client, device: Device, tmp_path: Path
) -> None:
    picture = Picture()
    (tmp_path / "other").write_bytes(b"something else")
    objects.put_file(tmp_path / "other", picture.sha256)
    assert verify(blobs, device, picture) == VerifyReply(verified=(), differing=(picture.sha256,))
    upload(blobs, http, device, picture)


def test_what_the_store_has_lost_is_missing_again(
    blobs: Blobs, objects: Objects, http: httpx.Client, device: Device
) -> None:
    """The object store was restored from an older backup than the database."""
    picture = Picture()
    upload(blobs, http, device, picture)
    objects.delete(picture.sha256)
    assert have(blobs, device, picture).missing == (picture.sha256,)
    with pytest.raises(Refused):
        blobs.download(device.device_id, picture.sha256)
    upload(blobs, http, device, picture)


def test_a_claim_about_the_size_does_no_harm(blobs: Blobs, http: httpx.Client, device: Device) -> None:
    picture = Picture()
    upload(blobs, http, device, picture)
    blobs.verify(device.device_id, VerifyRequest(blobs=(Blob(sha256=picture.sha256, size=1),)))
    assert have(blobs, device, picture).missing == ()
    assert blobs.download(device.device_id, picture.sha256).size == 3000


def test_a_device_gets_back_its_own_and_nothing_else(
    blobs: Blobs,
    http: httpx.Client,
    device: Device,
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    picture = Picture()
    upload(blobs, http, device, picture)
    ticket = blobs.download(device.device_id, picture.sha256)
    assert (http.get(ticket.url).content, ticket.size) == (picture.data, 3000)
    other = Device(database, tmp_path_factory.mktemp("other"))
    with pytest.raises(Refused) as refused:
        blobs.download(other.device_id, picture.sha256)
    assert code_of(refused) == "blob-missing"
    assert have(blobs, other, picture).missing == ()
    assert blobs.download(other.device_id, picture.sha256).size == 3000
    other.close()


def test_what_masters_name_is_for_every_device(blobs: Blobs, device: Device, database: Database) -> None:
    template = os.urandom(100)
    sha256 = blobs.keep(template)
    assert blobs.keep(template) == sha256
    with pytest.raises(Refused):
        blobs.download(device.device_id, sha256)
    with database.write() as tx:
        tx.execute("INSERT INTO assets (id, sha256, size) VALUES (gen_random_uuid(), %s, 100)", (sha256,))
    assert blobs.download(device.device_id, sha256).size == 100


def test_too_large_is_said_before_anything_is_sent(blobs: Blobs, device: Device) -> None:
    with pytest.raises(Refused) as refused:
        blobs.upload("a" * 64, UploadRequest(size=(32 << 20) + 1))
    assert code_of(refused) == "blob-too-large"


def test_an_empty_file_is_a_blob(blobs: Blobs, http: httpx.Client, device: Device) -> None:
    upload(blobs, http, device, Picture(0))


def test_two_devices_bring_the_same_at_once(
    blobs: Blobs,
    http: httpx.Client,
    device: Device,
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    picture, other = Picture(), Device(database, tmp_path_factory.mktemp("other"))
    tickets = [have(blobs, one, picture).tickets[0] for one in (device, other)]
    for one, ticket in zip((device, other), tickets, strict=True):
        assert picture.send(http, ticket) == [200]
        assert verify(blobs, one, picture).verified == (picture.sha256,)
        assert blobs.download(one.device_id, picture.sha256).size == 3000
    with database.snapshot() as tx:
        rows = tx.execute("SELECT file_size FROM files WHERE checksum = %s", (picture.sha256,)).fetchall()
    assert rows == [(3000,)]
    other.close()


def test_rows_go_on_while_the_store_is_down(database: Database, device: Device) -> None:
    down = Objects(StoreSettings("http://127.0.0.1:9", "images", "key", "secret"), Clock())
    blobs, picture = Blobs(database, down), Picture()
    asked = have(blobs, device, picture)
    assert asked.missing == (picture.sha256,), "the database alone knows what is not there"
    with pytest.raises(Unavailable) as unavailable:
        verify(blobs, device, picture)
    assert (code_of(unavailable), unavailable.value.code.scope) == ("store-unavailable", "server")
    device.store.inspect()
    assert {outcome for outcome, _ in device.outcomes(device.outbox())} == {"applied"}
    down.close()
