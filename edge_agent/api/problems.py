"""Every answer that is not a success: an RFC 9457 problem document with a code and a hint.

Rules of this file:
- One shape for all: our errors, bad requests, 404 and 405, bodies too large, and what nobody foresaw.
- The unforeseen is logged with its traceback and answered with nothing of it.
- Title and hint follow Accept-Language; `code` is what programs read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from edge_agent.errors import AgentError, BadDefinition, BadInput, Denied
from edge_agent.messages import choose_language, message_of

MEDIA_TYPE = "application/problem+json"
MAX_LISTED = 100

log = logging.getLogger(__name__)


class ProblemPlace(BaseModel):
    """One fault at one place: `pointer` is a JSON pointer into `file` ("" = the request or document)."""

    file: str
    pointer: str
    code: str
    message: str


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457). `code` is stable and kebab-case; `hint` says what to do now."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["urn:imageflow:problem:session-closed"])
    title: str
    status: int
    detail: str
    code: str
    hint: str
    exit_code: int = Field(1, description="What a command line program should end with.")
    context: dict[str, Any] = {}
    problems: list[ProblemPlace] = []


class Refused(BadInput):
    """A request that is wrong as such; `http_status` says how."""

    def __init__(self, detail: str, code: str, http_status: int, **context: Any) -> None:
        super().__init__(detail, code=code, **context)
        self.status = http_status


class BadRequest(BadInput):
    """A request whose fields are wrong; `places` lists every one."""

    code = "bad-request"
    hint = "Correct every field listed and send the request again; nothing was changed."

    def __init__(self, detail: str, places: list[ProblemPlace]) -> None:
        super().__init__(detail)
        self.places = places


def problem_response(error: AgentError, accept_language: str) -> Response:
    """The answer for `error` in the language asked for."""
    status = status_of(error)
    message = message_of(error, choose_language(accept_language))
    body: dict[str, Any] = {
        "type": f"urn:imageflow:problem:{error.code_}",
        "title": message.title,
        "status": status,
        "detail": error.detail,
        "code": error.code_,
        "hint": message.hint,
        "exit_code": error.exit_code,
        "context": error.context,
        "problems": [place.model_dump() for place in places_of(error)],
    }
    content = json.dumps(body, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
    return Response(content, status, headers_of(error), MEDIA_TYPE)


def status_of(error: AgentError) -> int:
    """401 asks for a login, everything else has the status of its class."""
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, Denied) and error.code_ in NOT_LOGGED_IN:
        return 401
    return error.http_status


NOT_LOGGED_IN = frozenset({"login-needed", "login-failed", "login-expired"})


def headers_of(error: AgentError) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if status_of(error) == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if (wait_s := error.context.get("retry_after_s")) is not None:
        headers["Retry-After"] = str(max(1, round(float(wait_s))))
    if allow := error.context.get("allow"):
        headers["Allow"] = str(allow)
    return headers


def places_of(error: AgentError) -> list[ProblemPlace]:
    if isinstance(error, BadRequest):
        return error.places[:MAX_LISTED]
    if isinstance(error, BadDefinition):
        return [
            ProblemPlace(file=p.file, pointer=p.pointer, code=p.code, message=p.message)
            for p in error.problems[:MAX_LISTED]
        ]
    return []


def places_of_validation(faults: Iterable[Mapping[str, Any]]) -> list[ProblemPlace]:
    """pydantic's complaints; the values sent are not echoed, they may hold a password."""
    return [
        ProblemPlace(
            file="",
            pointer="".join(f"/{_escaped(part)}" for part in fault["loc"]),
            code=str(fault["type"]).replace("_", "-"),
            message=str(fault["msg"]),
        )
        for fault in faults
    ]


def from_validation(faults: Iterable[Mapping[str, Any]]) -> BadRequest:
    places = places_of_validation(faults)
    return BadRequest(f"The request has {len(places)} fault{'s' if len(places) != 1 else ''}.", places)


def from_http(error: HTTPException, scope: Scope) -> AgentError:
    """What the framework itself refuses: no such path, wrong method, body too large, unreadable body."""
    match error.status_code:
        case 404:
            return Refused(f"There is nothing at {scope['path'][:200]}.", "no-such-path", 404)
        case 405:
            allow = (error.headers or {}).get("Allow", "")
            return Refused(f"{scope['method']} is not possible here.", "method-not-allowed", 405, allow=allow)
        case 413:
            return Refused("The request body is larger than accepted here.", "body-too-large", 413)
        case status if status < 500:
            return Refused(f"The request cannot be read: {error.detail}", "bad-request", status)
        case _:
            return AgentError("The agent could not answer this request.")


def translated(error: Exception, scope: Scope) -> AgentError:
    """What the product, the framework or nobody foresaw, in our words."""
    match error:
        case AgentError():
            return error
        case RequestValidationError():
            return from_validation(error.errors())
        case HTTPException():
            return from_http(error, scope)
        case _:
            return AgentError("The agent met an error it did not foresee; it was written to the log.")


def install(app: FastAPI) -> None:
    """Makes every error of `app` a problem document."""

    async def expected(request: Request, error: Exception) -> Response:
        ours = translated(error, request.scope)
        if ours.http_status >= 500:
            log.warning("%s %s: %s [%s]", request.method, request.url.path, ours.detail, ours.code_)
        return problem_response(ours, request.headers.get("accept-language", ""))

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        ours = translated(error, request.scope)
        return problem_response(ours, request.headers.get("accept-language", ""))

    for kind in (AgentError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(Exception, unforeseen)


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
