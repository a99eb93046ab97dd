"""Operators' logins: whose token is which.

Rules of this file:
- Of a token only its sha256 is kept. What is known of a person is read anew each time: who is switched off is out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from psycopg.rows import class_row

from central_server.store.database import Connection


@dataclass(frozen=True, slots=True)
class User:
    """A person who may log in."""

    id: str
    username: str
    role: str
    password_hash: str = field(repr=False)


def find_user(tx: Connection, username: str) -> User | None:
    """Names are compared without regard to case; the one written alike comes first."""
    sql = """SELECT id::text, username, role, password_hash FROM users
             WHERE lower(username) = lower(%s) AND is_active AND password_hash <> '' ORDER BY username = %s DESC"""
    return tx.cursor(row_factory=class_row(User)).execute(sql, (username, username)).fetchone()


def add_login(tx: Connection, token_sha256: str, user_id: str, hours: float) -> str:
    """Keeps a login for so many hours; when it ends, RFC 3339. Forgets those that have ended."""
    tx.execute("DELETE FROM operator_tokens WHERE expires_at < now()")
    sql = """INSERT INTO operator_tokens (token_sha256, user_id, expires_at)
             VALUES (%s, %s, now() + make_interval(secs => %s))
             RETURNING to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    row = tx.execute(sql, (token_sha256, user_id, hours * 3600)).fetchone()
    assert row is not None
    return str(row[0])


def operator_of(tx: Connection, token_sha256: str) -> User | None:
    """Whose login it is; None when it is none, has ended, or its owner may not log in."""
    sql = """SELECT u.id::text, u.username, u.role, u.password_hash
             FROM operator_tokens t JOIN users u ON u.id = t.user_id
             WHERE t.token_sha256 = %s AND t.expires_at > now() AND u.is_active AND u.password_hash <> ''"""
    return tx.cursor(row_factory=class_row(User)).execute(sql, (token_sha256,)).fetchone()


def end_login(tx: Connection, token_sha256: str) -> None:
    tx.execute("DELETE FROM operator_tokens WHERE token_sha256 = %s", (token_sha256,))


def end_logins(tx: Connection, user_id: str) -> None:
    """Ends every login of a person."""
    tx.execute("DELETE FROM operator_tokens WHERE user_id = %s", (user_id,))
