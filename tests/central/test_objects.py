"""The object store, for real: what it refuses, what is believed, and what resumes."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from central_server.embedded.seaweedfs import ports_left_behind
from central_server.errors import Refused, Unavailable
from central_server.objects import CHECKSUM, PLAIN_PUT_BYTES, Found, Objects, StoreSettings, part_size
from edge_agent.clock import Clock
from edge_agent.listening import held_ports, listening
from tests.servers import StoreServer, object_store
from tests.waiting import WAIT_S, wait_for


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=WAIT_S) as client:
        yield client


def fresh(size: int = 3000) -> tuple[bytes, str]:
    data = os.urandom(size)
    return data, hashlib.sha256(data).hexdigest()


def send(http: httpx.Client, objects: Objects, data: bytes, sha256: str) -> int:
    signed = objects.sign_put(sha256, len(data), 60)
    return http.put(signed.url, content=data, headers=dict(signed.headers)).status_code


def answers(objects: Objects, sha256: str) -> bool:
    try:
        return bool(objects.get(sha256))
    except Unavailable:
        return False


def test_right_bytes_are_verified_by_the_stores_own_checksum(objects: Objects, http: httpx.Client) -> None:
    data, sha256 = fresh()
    assert objects.look(sha256) == (Found.MISSING, 0)
    assert send(http, objects, data, sha256) == 200
    assert objects.refuses_wrong_bytes()
    assert objects.look(sha256) == (Found.VERIFIED, len(data))


def test_the_store_refuses_wrong_bytes(objects: Objects, http: httpx.Client) -> None:
    data, sha256 = fresh()
    assert send(http, objects, data[:-1] + bytes([data[-1] ^ 1]), sha256) == 400
    assert objects.look(sha256) == (Found.MISSING, 0)


@pytest.mark.parametrize("other_checksum", [None, "their own"])
def test_another_checksum_or_length_is_not_what_was_signed(
    objects: Objects, http: httpx.Client, other_checksum: str | None
) -> None:
    data, sha256 = fresh()
    wrong = data[::-1]
    signed = objects.sign_put(sha256, len(data), 60)
    claimed = base64.b64encode(hashlib.sha256(wrong).digest()).decode()
    headers = {CHECKSUM: claimed} if other_checksum else {}
    assert http.put(signed.url, content=wrong, headers=headers).status_code == 403
    assert (
        http.put(signed.url, content=data[:-1], headers={CHECKSUM: signed.headers[CHECKSUM]}).status_code
        == 403
    )
    assert objects.look(sha256) == (Found.MISSING, 0)


def test_an_expired_request_is_refused(
    objects: Objects, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, sha256 = fresh()
    monkeypatch.setattr(objects, "_clock", Clock(time=lambda: time.time() - 3600))
    signed = objects.sign_put(sha256, len(data), 60)
    assert http.put(signed.url, content=data, headers=dict(signed.headers)).status_code == 403


def test_what_carries_no_checksum_is_read_and_hashed(objects: Objects, tmp_path: Path) -> None:
    data, sha256 = fresh(200_000)
    (tmp_path / "file").write_bytes(data)
    objects.put_file(tmp_path / "file", sha256)
    assert objects.look(sha256) == (Found.VERIFIED, len(data))
    _, other = fresh()
    objects.put_file(tmp_path / "file", other)
    assert objects.look(other) == (Found.DIFFERING, len(data))


def test_a_store_that_accepts_anything_is_not_believed(
    objects: Objects, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, sha256 = fresh()
    send(http, objects, data, sha256)
    monkeypatch.setattr(objects, "_probe", lambda: False)
    assert objects.look(sha256) == (Found.VERIFIED, len(data))
    monkeypatch.setattr(objects, "_chunks", lambda name: iter([b"what is really there"]))
    assert objects.look(sha256) == (Found.DIFFERING, len(data))


def test_a_multipart_upload_resumes_and_is_hashed_whole(objects: Objects, http: httpx.Client) -> None:
    data, sha256 = fresh(PLAIN_PUT_BYTES * 2 + 1000)
    size = part_size(len(data))
    pieces = {number: data[(number - 1) * size : number * size] for number in (1, 2, 3)}
    upload_id = objects.begin_multipart(sha256)

    def send_part(number: int, piece: bytes) -> None:
        signed = objects.sign_part(sha256, upload_id, number, len(piece), 60)
        http.put(signed.url, content=piece, headers=dict(signed.headers)).raise_for_status()

    send_part(1, pieces[1])
    send_part(3, pieces[3])
    assert objects.parts(sha256, upload_id) == {1: size, 3: 1000}
    send_part(2, pieces[2])
    objects.complete_multipart(sha256, upload_id)
    assert objects.look(sha256) == (Found.VERIFIED, len(data))
    objects.complete_multipart(sha256, upload_id)
    assert objects.parts(sha256, upload_id) is None
    assert objects.look(sha256) == (Found.VERIFIED, len(data))


def test_a_checksum_of_checksums_is_not_the_objects(objects: Objects, http: httpx.Client) -> None:
    """As a store keeps it of parts that came with a checksum each: the object is read instead."""
    data, sha256 = fresh(PLAIN_PUT_BYTES + 1)
    named = objects._named(sha256)
    upload_id = objects._s3.create_multipart_upload(ChecksumAlgorithm="SHA256", **named)["UploadId"]
    parts = []
    for number, piece in ((1, data[:PLAIN_PUT_BYTES]), (2, data[PLAIN_PUT_BYTES:])):
        checksum = base64.b64encode(hashlib.sha256(piece).digest()).decode()
        about = {"PartNumber": number, "ChecksumSHA256": checksum}
        sent = objects._s3.upload_part(UploadId=upload_id, Body=piece, **about, **named)
        parts.append(about | {"ETag": sent["ETag"]})
    objects._s3.complete_multipart_upload(UploadId=upload_id, MultipartUpload={"Parts": parts}, **named)
    assert objects.look(sha256) == (Found.VERIFIED, len(data))


def test_wrong_parts_are_found_by_reading(objects: Objects, http: httpx.Client) -> None:
    data, sha256 = fresh(PLAIN_PUT_BYTES + 1)
    upload_id = objects.begin_multipart(sha256)
    for number, piece in ((1, data[:PLAIN_PUT_BYTES]), (2, b"?")):
        signed = objects.sign_part(sha256, upload_id, number, len(piece), 60)
        http.put(signed.url, content=piece, headers=dict(signed.headers)).raise_for_status()
    objects.complete_multipart(sha256, upload_id)
    assert objects.look(sha256)[0] == (Found.VERIFIED if data[-1:] == b"?" else Found.DIFFERING)


def test_a_ticket_downloads_also_from_the_middle(objects: Objects, http: httpx.Client) -> None:
    data, _ = fresh()
    sha256 = objects.put(data)
    url = objects.sign_get(sha256, 60).url
    assert http.get(url).content == data
    rest = http.get(url, headers={"Range": "bytes=1000-"})
    assert (rest.status_code, rest.content) == (206, data[1000:])


def test_the_servers_own_reading_and_writing(objects: Objects) -> None:
    data, unknown = fresh()
    sha256 = objects.put(data)
    assert objects.get(sha256) == data
    objects.delete(sha256)
    for missing in (sha256, unknown):
        with pytest.raises(Refused) as refused:
            objects.get(missing)
        assert refused.value.code.code == "blob-missing"


def test_other_bytes_are_never_handed_out(objects: Objects, tmp_path: Path) -> None:
    data, sha256 = fresh()
    (tmp_path / "file").write_bytes(data[::-1])
    objects.put_file(tmp_path / "file", sha256)
    with pytest.raises(Refused) as refused:
        objects.get(sha256)
    assert refused.value.code.code == "blob-differs"


def test_preparing_twice_changes_nothing(objects: Objects) -> None:
    data, _ = fresh()
    sha256 = objects.put(data)
    objects.prepare()
    assert objects.get(sha256) == data


def test_a_store_that_is_down_or_has_other_keys_is_unavailable(store_server: StoreServer) -> None:
    _, sha256 = fresh()
    down = Objects(StoreSettings("http://127.0.0.1:9", "images", "key", "secret"), Clock())
    stranger = Objects(StoreSettings(store_server.url, "images", "key", "secret"), Clock())
    for objects in (down, stranger):
        for call in (objects.prepare, lambda objects=objects: objects.look(sha256)):
            with pytest.raises(Unavailable) as unavailable:
                call()
            assert unavailable.value.code.code == "store-unavailable"
        objects.close()


def test_a_killed_store_keeps_what_it_verified(http: httpx.Client) -> None:
    data, sha256 = fresh()
    with object_store() as server:
        objects = Objects(StoreSettings(server.url, "images", server.access_key, server.secret_key), Clock())
        objects.prepare()
        assert send(http, objects, data, sha256) == 200
        server.stop()
        with pytest.raises(Unavailable):
            objects.look(sha256)
        server.start()
        wait_for(lambda: answers(objects, sha256))  # its parts find each other again
        assert objects.get(sha256) == data
        assert objects.look(sha256) == (Found.VERIFIED, len(data))
        objects.close()


def test_parts_grow_only_where_ten_thousand_would_not_do() -> None:
    assert part_size(1) == part_size(10_000 * PLAIN_PUT_BYTES) == PLAIN_PUT_BYTES
    assert part_size(10_000 * PLAIN_PUT_BYTES + 1) == PLAIN_PUT_BYTES + 1


def test_a_port_that_is_held_is_taken_by_who_is_told_of_it_only() -> None:
    with held_ports(2) as ports:
        for port in ports:
            with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
                stranger.bind(("127.0.0.1", port))
            with listening("127.0.0.1", port) as child:
                child.listen()
        with held_ports(50) as others:
            assert not {*ports} & {*others}


def test_ports_of_stores_that_were_killed_are_known(tmp_path: Path) -> None:
    for name in (
        "seaweedfs-filer-grpc-45441.sock",
        "seaweedfs-s3-8333.sock",
        "other-1.sock",
        "seaweedfs-x.sock",
    ):
        (tmp_path / name).touch()
    assert ports_left_behind(tmp_path) == {45441, 8333}
