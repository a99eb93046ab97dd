"""A fresh edge agent as a process of its own, used only through its public API.

Rules of this file:
- Nothing of the agent is imported: what is done here, any program on this machine could do.
- Every wait has a limit and says what it waited for.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

START_S = 60.0
STOP_S = 30.0
T = TypeVar("T")


class Agent:
    """`person`: a client logged in as an inspector; `owner`: one with the install token."""

    def __init__(self, owner: httpx.Client) -> None:
        self.owner = owner
        self.person = owner

    def log_in(self, username: str) -> None:
        """Makes a user and logs in as that person from now on."""
        password = secrets.token_urlsafe(12)
        user = {"username": username, "full_name": username, "password": password, "role": "inspector"}
        ask(self.owner, "POST", "/users", json=user)
        login = ask(self.owner, "POST", "/auth/login", json={"username": username, "password": password})
        self.person = httpx.Client(
            base_url=self.owner.base_url, headers={"Authorization": f"Bearer {login['token']}"}, timeout=60
        )

    def import_bundle(self, folder: Path) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder).as_posix())
        headers = {"Content-Type": "application/zip"}
        ask(self.owner, "POST", "/masters/import", content=packed.getvalue(), headers=headers)

    def watch(self, folder: Path, product: str, item: str) -> None:
        """Makes `folder` a hot folder: one session per cell, its serial number taken from the file's name."""
        settings = {
            "path": str(folder), "product": product, "item": item,
            "pattern": r"(?P<serial>cell\d{4})\.png", "session": "auto",
        }  # fmt: skip
        ask(self.owner, "PUT", "/folders/solar", json=settings)

    def item_id(self, product: str) -> str:
        return str(ask(self.owner, "GET", f"/masters/products/{product}/items")["items"][0]["id"])

    def sessions(self) -> Iterator[dict[str, Any]]:
        """Every session's line in the history."""
        cursor: str | None = None
        while True:
            params = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
            page = ask(self.owner, "GET", "/sessions", params=params)
            yield from page["sessions"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def verify(self, session_id: str, item_id: str, final_result: str, reason: str | None) -> None:
        """The person's verdict on one cell, given without having seen the AI's."""
        body = {"final_result": final_result, "item_id": item_id, "reason_code": reason, "saw_ai": False}
        ask(self.person, "POST", f"/sessions/{session_id}/verifications", json=body)

    def statistics(self) -> dict[str, Any]:
        """AI against people, as the agent counts it."""
        total: dict[str, Any] = ask(self.owner, "GET", "/statistics/agreement")["total"]
        return total

    def quarantined(self) -> int:
        return len(ask(self.owner, "GET", "/folders/quarantine")["entries"])


@contextmanager
def running_agent(data_dir: Path) -> Iterator[Agent]:
    """The daemon on an empty data directory, stopped at the end. Every AI OK is checked by a person."""
    environment = {**os.environ, "EDGE_AGENT_PORT": "0", "EDGE_AGENT_REVIEW_SHARE": "1"}
    program = Path(sys.executable).with_name("edge-agent")
    data_dir.mkdir(parents=True)
    with (data_dir.parent / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "--data-dir", str(data_dir), "run"], stdout=log, stderr=log, env=environment
        )
        try:
            url = wait_for("the agent's start", START_S, lambda: _url(data_dir, process))
            token = (data_dir / "run" / "install-token").read_text("utf-8").strip()
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=300) as owner:
                agent = Agent(owner)
                yield agent
                agent.person.close()
        finally:
            process.terminate()
            process.wait(STOP_S)


def _url(data_dir: Path, process: subprocess.Popen[bytes]) -> str | None:
    if process.poll() is not None:
        raise SystemExit(f"the agent stopped at its start: see {data_dir.parent / 'agent.log'}")
    try:
        return str(json.loads((data_dir / "run" / "agent.json").read_text("utf-8"))["url"])
    except FileNotFoundError:
        return None


def ask(client: httpx.Client, method: str, path: str, **more: Any) -> Any:
    """The JSON answer; ends the program with the agent's own words when it refuses."""
    response = client.request(method, path, **more)
    if response.is_error:
        raise SystemExit(f"{method} {path}: {response.status_code} {response.text}")
    return response.json() if response.content else None


def wait_for(what: str, limit_s: float, look: Callable[[], T | None], every_s: float = 0.2) -> T:
    """The first answer of `look` that is not None; ends the program after `limit_s` seconds without one."""
    deadline = time.monotonic() + limit_s
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {limit_s:.0f} s for {what}, in vain")
        time.sleep(every_s)
    return found
