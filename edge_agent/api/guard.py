"""The door: which hosts and origins may talk to the agent at all, decided before any routing.

Rules of this file:
- Pure ASGI, no body touched: a refused request costs nothing and reaches no code of ours.
- The Host must be a loopback name or one the settings allow: a web page that points its own name at
  127.0.0.1 (DNS rebinding) is refused.
- The Origin, if any, must be our own or allowed. A browser that tells us a request comes from another site
  without an Origin (an <img>, a <script>) is refused too; opening the console by a link is not.
- A cookie on a changing request needs an Origin of ours: a forged form has none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_agent.api.problems import problem_response
from edge_agent.errors import Denied

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION_COOKIE = "edge_session"
EXPOSED = "ETag, Location, Retry-After, Idempotency-Replayed, Content-Disposition"
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Accept-Language"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
        "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules: host names and origins accepted besides our own."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @staticmethod
    def of(hosts: Collection[str], origins: Collection[str]) -> Admission:
        lowered = frozenset(host.lower().strip("[]") for host in hosts)
        return Admission(LOOPBACK | lowered, frozenset(origin.lower().rstrip("/") for origin in origins))

    def refusal(self, method: str, path: str, headers: Headers) -> Denied | None:
        """Why this request may not enter, or None."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or host_name(hosts[0]) not in self.hosts:
            return Denied(
                "The request was addressed to a host name that is not this agent's.",
                code="host-refused",
                hint="Use http://localhost with the agent's port, or add the name to allowed_hosts.",
            )
        origin = headers.get("origin")
        if origin is None:
            return self._without_origin(method, path, headers)
        if not self.is_own(origin, hosts[0]) and origin.lower() not in self.origins:
            return _foreign()
        return None

    def is_own(self, origin: str, host: str) -> bool:
        return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")

    def _without_origin(self, method: str, path: str, headers: Headers) -> Denied | None:
        site = headers.get("sec-fetch-site", "none")
        is_opening = headers.get("sec-fetch-mode") == "navigate" and not path.startswith("/api/")
        if site not in ("same-origin", "none") and not (method in SAFE_METHODS and is_opening):
            return _foreign()
        if method not in SAFE_METHODS and has_session_cookie(headers) and "authorization" not in headers:
            return Denied(
                "A request that changes something and comes with a cookie must name its origin.",
                code="origin-needed",
                hint="Programs log in with a bearer token instead of the console's cookie.",
            )
        return None


def _foreign() -> Denied:
    return Denied(
        "The request comes from a web page that is not the agent's own.",
        code="origin-refused",
        hint="Open the console at the agent's own address, or add the origin to allowed_origins.",
    )


def host_name(host: str) -> str:
    """The name in a Host header, lower case, without port and brackets; '' if it is no host."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    is_bare = not (parts.path or parts.query or parts.fragment or "@" in host)
    return (parts.hostname or "").rstrip(".") if is_bare else ""


def has_session_cookie(headers: Headers) -> bool:
    return f"{SESSION_COOKIE}=" in headers.get("cookie", "")


class Guard:
    """ASGI middleware: admits or refuses, answers CORS preflights, adds the security headers."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app, self._admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        extra = dict(SECURITY_HEADERS)
        refusal = self._admission.refusal(scope["method"], scope["path"], headers)
        if refusal is None and (origin := headers.get("origin")):
            extra |= cors_headers(origin)
        send = _with_headers(send, extra)
        if refusal is not None:
            await problem_response(refusal, headers.get("accept-language", ""))(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, send)


def cors_headers(origin: str) -> dict[str, str]:
    """What lets an admitted page read our answers; it logs in by bearer token, so no credentials."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Expose-Headers": EXPOSED,
        "Access-Control-Allow-Private-Network": "true",  # Chromium asks before a page may reach loopback
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }


def _with_headers(send: Send, extra: dict[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in extra.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
