"""Every answer that is not a success: an RFC 9457 problem document that says whether to try again.

Rules of this file:
- One shape for all (`sync_protocol.messages.ProblemDetails`), with a hint and facts for people besides. `code`
  decides what a device does; the status is for proxies and logs. Title and hint are in the language asked for.
- The unforeseen is logged with its traceback and answered with nothing of it; nothing was stored then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from central_server.errors import ServerError
from central_server.messages import message_of
from edge_agent.errors import AgentError, BadDefinition, Disposition
from edge_agent.messages import choose_language
from sync_protocol.checksums import ChecksumMismatch
from sync_protocol.codes import Disposition as CodeDisposition
from sync_protocol.codes import Scope
from sync_protocol.messages import Malformed, ProblemDetails
from sync_protocol.wire import TooLarge

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "batch-damaged": 400,
    "protocol-unknown": 400,
    "token-invalid": 401,
    "device-unknown": 401,
    "device-revoked": 403,
    "code-invalid": 403,
    "space-unknown": 404,
    "request-unknown": 404,
    "blob-missing": 404,
    "blob-differs": 409,
    "device-forked": 409,
    "pull-reset": 410,
    "batch-too-large": 413,
    "blob-too-large": 413,
    "throttled": 503,
    "store-full": 507,
    "internal": 500,
}
RETRY_AFTER_S = 2.0

log = logging.getLogger(__name__)


def problem_of(error: Exception, language: str) -> tuple[ProblemDetails, dict[str, Any]]:
    """What is told about it, and its hint and facts. `language`: `en` or `ja`."""
    if isinstance(error, AgentError):
        return _of_agent_error(error, language)
    ours = error if isinstance(error, ServerError) else translated(error)
    message = message_of(ours, language)
    scope, code = ours.code.scope, ours.code.code
    wait_s = ours.context.get("retry_after_s", RETRY_AFTER_S if scope is Scope.SERVER else None)
    problem = ProblemDetails(
        type=f"urn:imageflow:problem:{code}",
        title=message.title,
        status=STATUS.get(code, 503 if scope is Scope.SERVER else 422),
        detail=ours.detail,
        code=code,
        retryable=ours.code.disposition is CodeDisposition.RETRY,
        scope=scope.value,
        retry_after=wait_s,
    )
    return problem, {"hint": message.hint, "context": ours.context}


def problem_response(error: Exception, accept_language: str) -> Response:
    problem, more = problem_of(error, choose_language(accept_language))
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(problem.retry_after)))
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = problem.model_dump(exclude_none=True) | {name: value for name, value in more.items() if value}
    return Response(orjson.dumps(body, default=str), problem.status, headers, MEDIA_TYPE)


def translated(error: Exception) -> ServerError:
    """What the protocol, the framework or nobody foresaw, in our words."""
    match error:
        case ChecksumMismatch():
            told = ("batch-damaged", f"The body is damaged: {error}.")
        case TooLarge() | HTTPException(status_code=413):
            told = ("batch-too-large", "The body is larger than this server takes.")
        case Malformed():
            told = ("batch-invalid", f"The body is not a request of this protocol: {error}.")
        case RequestValidationError():
            places = ", ".join("/".join(map(str, fault["loc"])) for fault in error.errors()[:10])
            told = ("batch-invalid", f"The request is wrong at {places}.")
        case HTTPException(status_code=404 | 405):
            told = ("request-unknown", "There is no such request here.")
        case HTTPException(status_code=status) if status < 500:
            told = ("batch-invalid", "The request cannot be read.")
        case _:
            told = ("internal", "The server met an error it did not foresee; it was written to its log.")
    return ServerError(*told)


def install(app: FastAPI) -> None:
    """Makes every error of `app` a problem document."""

    async def expected(request: Request, error: Exception) -> Response:
        response = problem_response(error, request.headers.get("accept-language", ""))
        if response.status_code >= 500:
            log.warning("%s %s: %s", request.method, request.url.path, error)
        return response

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem_response(error, request.headers.get("accept-language", ""))

    kinds: tuple[type[Exception], ...] = (ServerError, AgentError, ChecksumMismatch, TooLarge, Malformed)
    handler: Callable[[Request, Exception], Any] = expected
    for kind in (*kinds, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, unforeseen)


def _of_agent_error(error: AgentError, language: str) -> tuple[ProblemDetails, dict[str, Any]]:
    """Masters are judged by the edge's own code; its errors are about the one thing that was sent."""
    message = message_of(error, language)
    problem = ProblemDetails(
        type=f"urn:imageflow:problem:{error.code_}",
        title=message.title,
        status=error.http_status,
        detail=error.detail,
        code=error.code_,
        retryable=error.disposition is Disposition.RETRY,
        scope="server" if error.disposition is Disposition.RETRY else "batch",
    )
    faults = [asdict(fault) for fault in error.problems] if isinstance(error, BadDefinition) else []
    return problem, {"hint": message.hint, "context": error.context, "problems": faults}
