"""Requests to an ASGI application in this process, from synchronous code.

Rules of this file:
- Imported only when no daemon runs: it needs httpx, which `--help` must not load.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx


class _InProcess(httpx.BaseTransport):
    def __init__(self, app: httpx.ASGITransport, runner: asyncio.Runner) -> None:
        self._app, self._runner = app, runner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._runner.run(self._send(request))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        copy = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        response = await self._app.handle_async_request(copy)
        body = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=body)


def in_process(app: Any, runner: asyncio.Runner) -> httpx.BaseTransport:
    """A transport that calls `app` (ASGI) on `runner`'s event loop; what nobody foresaw is a 500 answer."""
    return _InProcess(httpx.ASGITransport(app, raise_app_exceptions=False), runner)
