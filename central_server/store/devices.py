"""The enrolled devices, the codes they enrol with, and where each one's incarnations stand.

Rules of this file:
- A token or a code is stored as its sha256 only.
- Whoever is known by a token has received it: the first use confirms it, and ends what its code can do.
"""

from __future__ import annotations

from dataclasses import dataclass

from central_server.store.database import Connection

SEEN_EVERY_S = 60  # being seen is written at most this often: a device asks every few seconds

KNOWN = """SELECT device_id, site, revoked_at IS NOT NULL, confirmed_at IS NOT NULL,
                     coalesce(last_seen_at < now() - make_interval(secs => %s), true)
              FROM devices WHERE token_sha256 = %s"""
SEEN = """UPDATE devices SET last_seen_at = now(), confirmed_at = coalesce(confirmed_at, now())
          WHERE device_id = %s AND token_sha256 = %s"""
PROVEN_BY = "SELECT token_sha256 FROM devices WHERE device_id = %s AND revoked_at IS NULL"
USABLE_CODE = """
    SELECT c.site, c.device_id, d.confirmed_at IS NOT NULL AS is_spent
    FROM enrolment_codes c LEFT JOIN devices d ON d.device_id = c.device_id
    WHERE c.code_sha256 = %s AND c.expires_at > now() FOR UPDATE OF c"""
ENROL = """
    INSERT INTO devices (device_id, device_type, app_version, site, token_sha256)
    VALUES (%(device_id)s, %(device_type)s, %(app_version)s, %(site)s, %(token_sha256)s)
    ON CONFLICT (device_id) DO UPDATE SET device_type = excluded.device_type, app_version = excluded.app_version,
        site = excluded.site, token_sha256 = excluded.token_sha256,
        enrolled_at = now(), confirmed_at = NULL, revoked_at = NULL"""
USE_CODE = (
    "UPDATE enrolment_codes SET used_at = coalesce(used_at, now()), device_id = %s WHERE code_sha256 = %s"
)
ADD_CODE = """
    INSERT INTO enrolment_codes (code_sha256, site, expires_at)
    VALUES (%s, %s, now() + make_interval(secs => %s))
    RETURNING to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
STANDING = """
    SELECT coalesce(i.last_seq, 0), coalesce(i.last_ack, 0), s.server_epoch::text,
           to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
           (SELECT json_object_agg(space, version) FROM sync_spaces)
    FROM server_state s LEFT JOIN device_incarnations i ON i.device_id = %s AND i.incarnation = %s"""
NOTE_VERSION = "UPDATE devices SET app_version = %s WHERE device_id = %s AND app_version <> %s"
LIST = """
    SELECT device_id, device_type, app_version, site, enrolled_at, confirmed_at, revoked_at, last_seen_at,
           coalesce((SELECT max(last_seq) FROM device_incarnations i WHERE i.device_id = d.device_id), 0) AS last_seq
    FROM devices d ORDER BY enrolled_at, device_id"""
REVOKE = "UPDATE devices SET revoked_at = coalesce(revoked_at, now()) WHERE device_id = %s"
COLUMNS = (
    *("device_id", "device_type", "app_version", "site"),
    *("enrolled_at", "confirmed_at", "revoked_at", "last_seen_at", "last_seq"),
)


@dataclass(frozen=True, slots=True)
class Known:
    """Whose token it is. `is_to_be_noted`: being seen should be written."""

    device_id: str
    site: str
    is_revoked: bool
    is_to_be_noted: bool


@dataclass(frozen=True, slots=True)
class Code:
    """A code that has not expired; `device_id` has used it, and `is_spent` once its token was used too."""

    site: str
    device_id: str | None
    is_spent: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What the server has of an incarnation, and where the spaces are."""

    last_seq: int
    last_ack: int
    server_epoch: str
    server_time: str
    heads: dict[str, int]


def by_token(tx: Connection, token_sha256: str) -> Known | None:
    row = tx.execute(KNOWN, (SEEN_EVERY_S, token_sha256)).fetchone()
    if row is None:
        return None
    device_id, site, is_revoked, is_confirmed, is_long_ago = row
    return Known(str(device_id), str(site), bool(is_revoked), not is_confirmed or bool(is_long_ago))


def token_of(tx: Connection, device_id: str) -> str | None:
    """The sha256 of the device's token; None unless it is enrolled and let in."""
    row = tx.execute(PROVEN_BY, (device_id,)).fetchone()
    return None if row is None else str(row[0])


def note_seen(tx: Connection, device_id: str, token_sha256: str) -> None:
    tx.execute(SEEN, (device_id, token_sha256))


def add_code(tx: Connection, code_sha256: str, site: str, valid_s: float) -> str:
    """Stores a code; returns when it expires."""
    row = tx.execute(ADD_CODE, (code_sha256, site, valid_s)).fetchone()
    assert row is not None
    return str(row[0])


def usable_code(tx: Connection, code_sha256: str) -> Code | None:
    """The code, locked until the transaction ends."""
    row = tx.execute(USABLE_CODE, (code_sha256,)).fetchone()
    if row is None:
        return None
    site, device_id, is_spent = row
    return Code(str(site), None if device_id is None else str(device_id), bool(is_spent))


def enrol(tx: Connection, code_sha256: str, device: dict[str, str]) -> None:
    """Stores the device (by its columns) with its new token, and who used the code."""
    tx.execute(ENROL, device)
    tx.execute(USE_CODE, (device["device_id"], code_sha256))


def standing(tx: Connection, device_id: str, incarnation: str) -> Standing:
    row = tx.execute(STANDING, (device_id, incarnation)).fetchone()
    assert row is not None
    last_seq, last_ack, epoch, now, heads = row
    assert isinstance(heads, dict)
    return Standing(int(str(last_seq)), int(str(last_ack)), str(epoch), str(now), heads)


def note_version(tx: Connection, device_id: str, app_version: str) -> None:
    tx.execute(NOTE_VERSION, (app_version, device_id, app_version))


def listed(tx: Connection) -> list[dict[str, object]]:
    """Every device, oldest first."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in tx.execute(LIST).fetchall()]


def revoke(tx: Connection, device_id: str) -> bool:
    """Withdraws the device's access; whether there is such a device."""
    return tx.execute(REVOKE, (device_id,)).rowcount > 0
