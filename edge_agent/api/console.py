"""The inspector's console: its built files, or a page that says they are not there.

Rules of this file:
- Only files of the build are served; a request's path names one of them or nothing.
- The page is never kept by a browser and holds a nonce of its own: the component library writes its styles
  while it runs, and the policy admits no other inline style and no inline script at all.
- File names under /assets change with their content, so browsers keep them for good.
"""

from __future__ import annotations

import os
from base64 import b64encode
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from edge_agent.api.guard import SECURITY_HEADERS
from edge_agent.clock import Clock

FOR_EVER = "public, max-age=31536000, immutable"
NONCE_MARK = "__CSP_NONCE__"
POLICY = "Content-Security-Policy"


def mount_console(app: FastAPI, clock: Clock) -> None:
    """Serves the console at `/` and `/assets`, or the stand-in page where it has not been built."""
    built = built_dir()
    if not (built / "index.html").is_file():
        _mount_stand_in(app)
        return
    page = (built / "index.html").read_text("utf-8")

    def open_console() -> HTMLResponse:
        nonce = b64encode(clock.random(16)).decode("ascii")
        headers = {"Cache-Control": "no-store", POLICY: policy_with(nonce)}
        return HTMLResponse(page.replace(NONCE_MARK, nonce), headers=headers)

    def icon() -> FileResponse:
        return FileResponse(built / "icon.svg", media_type="image/svg+xml")

    app.mount("/assets", _Hashed(directory=built / "assets"), name="assets")
    app.add_api_route("/", open_console, include_in_schema=False)
    app.add_api_route("/icon.svg", icon, include_in_schema=False)


def built_dir() -> Path:
    """Where `make console` and the wheel put the built files."""
    return Path(str(files("edge_agent") / "console"))


def policy_with(nonce: str) -> str:
    """The policy of every answer, with the styles that carry this nonce admitted."""
    return SECURITY_HEADERS[POLICY].replace("style-src 'self'", f"style-src 'self' 'nonce-{nonce}'")


def _mount_stand_in(app: FastAPI) -> None:
    folder = Path(str(files("edge_agent.api") / "static"))

    def open_stand_in() -> FileResponse:
        return FileResponse(folder / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/console", StaticFiles(directory=folder), name="console")
    app.add_api_route("/", open_stand_in, include_in_schema=False)


class _Hashed(StaticFiles):
    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers["Cache-Control"] = FOR_EVER
        if str(full_path).endswith(".js"):  # some Windows registries call it text/plain, and it is not run
            answer.headers["Content-Type"] = "text/javascript; charset=utf-8"
        return answer
