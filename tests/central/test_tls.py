"""TLS with a private certificate authority, from the options of both programs to the first request."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from central_server.devices import issue_code
from central_server.errors import Unavailable
from central_server.objects import Found, Objects, StoreSettings
from central_server.store.database import Database
from edge_agent.cli.exits import Exit
from edge_agent.clock import Clock
from tests.acceptance import program
from tests.central.devices import CLOCK

CENTRAL = program.PROGRAM.with_name("central-server")


@dataclass(frozen=True)
class Authority:
    """`certificate` and `key` are a server's on this machine, `ca` is who signed them."""

    ca: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return _made(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return _made(tmp_path_factory.mktemp("other"))


def _made(folder: Path) -> Authority:
    made = Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(made.ca)
    issued.private_key_pem.write_to_path(made.key)
    for part in issued.cert_chain_pems:
        part.write_to_path(made.certificate, append=True)
    return made


def use(monkeypatch: pytest.MonkeyPatch, url: str, certificate: Path, key: Path) -> None:
    settings = {"DATABASE_URL": url, "S3_ENDPOINT": "http://127.0.0.1:9", "S3_ACCESS_KEY": "a"}
    settings |= {"S3_SECRET_KEY": "b", "TLS_CERTIFICATE": str(certificate), "TLS_KEY": str(key)}
    for name, value in settings.items():
        monkeypatch.setenv(f"CENTRAL_SERVER_{name}", value)


def test_an_agent_trusts_the_authority_it_was_told_of_and_no_other(
    database: Database,
    url: str,
    authority: Authority,
    other: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, url, authority.certificate, authority.key)
    code = issue_code(database, CLOCK, "Plant 1", 600).code

    def enrol(server: str, ca: Path | None) -> tuple[int, Any]:
        if ca is not None:
            monkeypatch.setenv("EDGE_AGENT_CENTRAL_CA_FILE", str(ca))
        return program.ask(tmp_path / "agent", "enroll", "--server", server, "--code", code)

    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(60)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with manager, program.daemon(tmp_path / "centre", program=CENTRAL) as server:
        assert manager.recv(64) == b"READY=1"
        assert server.url.startswith("https://127.0.0.1:")
        for wrong in (None, other.ca):
            exit_code, refused = enrol(server.url, wrong)
            assert (exit_code, refused["error"]["code"]) == (Exit.UNAVAILABLE, "tls-failed")
            assert "central_ca_file" in refused["error"]["hint"]
        exit_code, made = enrol(server.url, authority.ca)
        assert (exit_code, made["site"]) == (Exit.DONE, "Plant 1")
        assert server.terminate() == 0
        assert manager.recv(64) == b"STOPPING=1"


@pytest.mark.parametrize("fault", ["missing", "no certificate", "another's key"])
def test_a_certificate_that_cannot_be_used_stops_the_start(
    url: str,
    authority: Authority,
    other: Authority,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate = {"missing": tmp_path / "none.pem", "no certificate": authority.key}
    use(monkeypatch, url, certificate.get(fault, authority.certificate), other.key)
    done = program.command(tmp_path / "centre", "run", "--port", "0", "--json", program=CENTRAL)
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (done.returncode, error["code"]) == (Exit.BAD_INPUT, "certificate-unusable")
    assert "tls_key" in error["hint"]


class Nothing(http.server.BaseHTTPRequestHandler):
    """Has no object."""

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def store_url(authority: Authority) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_server_trusts_the_stores_authority_it_was_told_of_and_no_other(
    store_url: str, authority: Authority, other: Authority
) -> None:
    for ca, is_trusted in ((authority.ca, True), (other.ca, False)):
        objects = Objects(StoreSettings(store_url, "images", "key", "secret", ca_file=str(ca)), Clock())
        if is_trusted:
            assert objects.look("0" * 64) == (Found.MISSING, 0)
        else:
            with pytest.raises(Unavailable, match="SSL"):
                objects.look("0" * 64)
        objects.close()
