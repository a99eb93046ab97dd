"""Files fetched by their sha256: gone on with where they were cut off, and begun anew where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from edge_agent.clock import Clock
from edge_agent.sync.central import Central
from edge_agent.sync.downloads import Downloads
from edge_agent.sync.lane import SyncFailed
from sync_protocol import wire
from sync_protocol.canonical import sha256_hex
from sync_protocol.messages import DownloadTicket

DATA = bytes(range(256)) * 40
SHA256 = sha256_hex(DATA)
ZSTD = {"Content-Encoding": "zstd"}
TICKET = DownloadTicket(
    sha256=SHA256, size=len(DATA), url="https://store/k", expires_at="2026-11-23T13:00:00.000Z"
)
Answer = Callable[[str | None], tuple[int, bytes]]


class Store:
    """An object store behind a ticket; `answer` says status and body for a Range header."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, list[str | None]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "store":
            return httpx.Response(200, stream=httpx.ByteStream(wire.pack(wire.write(TICKET))), headers=ZSTD)
        self.asked.append(request.headers.get("Range"))
        status, body = self.answer(self.asked[-1])
        return httpx.Response(status, stream=httpx.ByteStream(body))

    def downloads(self, data_dir: Path) -> Downloads:
        client = httpx.Client(transport=httpx.MockTransport(self))
        return Downloads(data_dir, Central("https://c", "t", client, Clock()))


def begun(data_dir: Path, data: bytes) -> Path:
    """What an interrupted download left."""
    (data_dir / "downloads").mkdir()
    part = data_dir / "downloads" / f"{SHA256}.part"
    part.write_bytes(data)
    return part


def test_it_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    begun(tmp_path, DATA[:1000])
    store = Store(lambda _: (206, DATA[1000:]))
    assert store.downloads(tmp_path).fetch(SHA256, len(DATA)).read_bytes() == DATA
    assert store.asked == ["bytes=1000-"]


@pytest.mark.parametrize("status", [200, 416])
def test_a_store_that_cannot_go_on_gives_it_from_the_start(tmp_path: Path, status: int) -> None:
    begun(tmp_path, b"rot" * 300)
    store = Store(lambda ranged: (status, DATA) if ranged else (200, DATA))
    assert store.downloads(tmp_path).fetch(SHA256, len(DATA)).read_bytes() == DATA
    assert store.asked == ["bytes=900-", None]


@pytest.mark.parametrize("status", [200, 416])
def test_it_begins_anew_once_only(tmp_path: Path, status: int) -> None:
    begun(tmp_path, DATA[:1000])
    store = Store(lambda ranged: (status, b"") if ranged else (416, b""))
    with pytest.raises(SyncFailed) as caught:
        store.downloads(tmp_path).fetch(SHA256, len(DATA))
    assert caught.value.code_ == "store-416"
    assert store.asked == ["bytes=1000-", None]


def test_what_came_is_kept_when_the_store_is_only_away(tmp_path: Path) -> None:
    part = begun(tmp_path, DATA[:1000])
    with pytest.raises(SyncFailed) as caught:
        Store(lambda _: (503, b"")).downloads(tmp_path).fetch(SHA256, len(DATA))
    assert (caught.value.code_, part.read_bytes()) == ("store-503", DATA[:1000])


def test_other_bytes_never_appear_under_the_name(tmp_path: Path) -> None:
    downloads = Store(lambda _: (200, bytes(len(DATA)))).downloads(tmp_path)
    with pytest.raises(SyncFailed) as caught:
        downloads.fetch(SHA256, len(DATA))
    assert caught.value.code_ == "blob-differs"
    assert list((tmp_path / "downloads").iterdir()) == []
