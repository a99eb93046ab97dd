"""Who asks: the device whose token comes with the request.

Rules of this file:
- Every request is looked up: a revoked token ends at once, at every server process.
- What does not touch the database is asynchronous: it would cost a turn on the thread pool.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from central_server.api.services import Services
from central_server.devices import recognise
from central_server.errors import Refused


async def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def bearer_of(request: Request) -> str:
    """The token of the Authorization header. Raises Refused (`token-invalid`)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(
            "token-invalid",
            "The request has no token.",
            hint="Send `Authorization: Bearer <token>`.",
        )
    return token.strip()


def device_of(
    token: Annotated[str, Depends(bearer_of)], has: Annotated[Services, Depends(services_of)]
) -> str:
    """The device's id. Raises Refused (`token-invalid`, `device-revoked`)."""
    with has.database.read() as reader:
        return recognise(reader, token).device_id


Has = Annotated[Services, Depends(services_of)]
DeviceId = Annotated[str, Depends(device_of)]
