"""Who a device is: enrolment with a one-time code, its token, the end of both, and its hello.

Rules of this file:
- A code is for one device. Its holder may enrol again with it as long as the token it got was never used, because the
  answer may have been lost on the way; from the token's first use on the code is spent.
- A code is read by people: it has no letters that look alike, and how it is typed does not matter.
- A hint in a hello tells a person what to do; nothing depends on it.
- Enrolling replaces the device's token and lifts a revocation: who hands out a code has decided so.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from central_server.errors import Refused
from central_server.store import devices, operator_log
from central_server.store.changes import VIEWS
from central_server.store.database import Connection, Database
from edge_agent.clock import Clock
from sync_protocol.messages import EnrollReply, EnrollRequest, HelloReply, HelloRequest
from sync_protocol.version import ACCEPTED_VERSIONS, SCHEMA_VERSION, agree

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U
CODE_LENGTH = 12  # 60 bits, guessed at the server only
LOOK_ALIKE = str.maketrans("OIL", "011", "- ")
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """Shown once; only its sha256 is kept."""

    code: str
    site: str
    expires_at: str


def issue_code(database: Database, clock: Clock, site: str, valid_s: float, actor: str = "") -> IssuedCode:
    """A new code for one device of `site`, good for `valid_s` seconds; `actor`, who made it, is noted."""
    letters = "".join(ALPHABET[byte % len(ALPHABET)] for byte in clock.random(CODE_LENGTH))
    with database.write() as tx:
        expires_at = devices.add_code(tx, sha256_of(letters), site, valid_s)
        operator_log.note(tx, actor, "device.code", site)
    code = "-".join(letters[at : at + 4] for at in range(0, CODE_LENGTH, 4))
    return IssuedCode(code, site, expires_at)


def enrol(database: Database, clock: Clock, request: EnrollRequest) -> EnrollReply:
    """Makes the device known and gives it a token. Raises Refused (`code-invalid`)."""
    code_sha256 = sha256_of(normal(request.code))
    token = base64.urlsafe_b64encode(clock.random(TOKEN_BYTES)).rstrip(b"=").decode()
    with database.write() as tx:
        code = devices.usable_code(tx, code_sha256)
        require_usable(code, request.device_id)
        assert code is not None
        about = request.model_dump(exclude={"code"}) | {"site": code.site, "token_sha256": sha256_of(token)}
        devices.enrol(tx, code_sha256, about)
        epoch = devices.standing(tx, request.device_id, request.device_id).server_epoch
    return EnrollReply(token=token, site=code.site, server_epoch=epoch)


def require_usable(code: devices.Code | None, device_id: str) -> None:
    """Raises Refused (`code-invalid`); a guesser learns no more than that."""
    if code is None or (code.device_id is not None and (code.device_id != device_id or code.is_spent)):
        raise Refused(
            "code-invalid",
            "The enrolment code is wrong, used or expired.",
            hint="Make a new one with `central-server device code`.",
        )


def recognise(tx: Connection, token: str) -> devices.Known:
    """Whose token it is. Raises Refused (`token-invalid`, `device-revoked`)."""
    token_sha256 = sha256_of(token)
    known = devices.by_token(tx, token_sha256)
    if known is None:
        raise Refused(
            "token-invalid",
            "The device's token is not known here.",
            hint="Enrol the device again; what it has not sent yet is kept.",
        )
    if known.is_revoked:
        raise Refused(
            "device-revoked",
            f"The access of device {known.device_id} was withdrawn.",
            hint="Enrol the device again with a new code if it may come back; what it has not sent yet is kept.",
        )
    if known.is_to_be_noted:
        devices.note_seen(tx, known.device_id, token_sha256)
    return known


# ── hello ───────────────────────────────────────────────────────────────────────────────────────────────


def hello_reply(request: HelloRequest, standing: devices.Standing) -> HelloReply:
    """Raises Refused (`protocol-unknown`)."""
    version = agree(request.protocol_versions)
    if version is None:
        raise Refused(
            "protocol-unknown",
            f"This server speaks {list(ACCEPTED_VERSIONS)}, the device {list(request.protocol_versions)[:20]}.",
            hint="Update the older of the two; the device keeps what it has not sent.",
        )
    return HelloReply(
        protocol_version=version,
        schema_version=SCHEMA_VERSION,
        server_epoch=standing.server_epoch,
        server_time=standing.server_time,
        device_last_seq=standing.last_seq,
        device_last_ack=standing.last_ack,
        heads={space: head for space, head in standing.heads.items() if space in VIEWS},
    )


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────────


def normal(code: str) -> str:
    """A code as people type it: small letters, blanks, hyphens, O for 0."""
    return code.upper().translate(LOOK_ALIKE)


def sha256_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
