"""Operators' logins: whose token is which.

Rules of this file:
- Of a token only its sha256 is kept. What is known of a person is read anew each time: who is switched off is out.
"""

from __future__ import annotations

from central_server.store.database import Connection


def find_user(tx: Connection, username: str) -> tuple[str, str, str] | None:
    """(id, role, password_hash) of a person who may log in; names are compared without regard to case."""
    sql = """SELECT id::text, role, password_hash FROM users
             WHERE lower(username) = lower(%s) AND is_active AND password_hash <> '' ORDER BY username = %s DESC"""
    row = tx.execute(sql, (username, username)).fetchone()
    return None if row is None else (str(row[0]), str(row[1]), str(row[2]))


def add_login(tx: Connection, token_sha256: str, user_id: str, hours: float) -> str:
    """Keeps a login for so many hours; when it ends, RFC 3339. Forgets those that have ended."""
    tx.execute("DELETE FROM operator_tokens WHERE expires_at < now()")
    sql = """INSERT INTO operator_tokens (token_sha256, user_id, expires_at)
             VALUES (%s, %s, now() + make_interval(secs => %s))
             RETURNING to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    row = tx.execute(sql, (token_sha256, user_id, hours * 3600)).fetchone()
    assert row is not None
    return str(row[0])


def operator_of(tx: Connection, token_sha256: str) -> tuple[str, str, str] | None:
    """(id, username, role) of whose login it is; None when it is none, has ended, or its owner may not log in."""
    sql = """SELECT u.id::text, u.username, u.role FROM operator_tokens t JOIN users u ON u.id = t.user_id
             WHERE t.token_sha256 = %s AND t.expires_at > now() AND u.is_active AND u.password_hash <> ''"""
    row = tx.execute(sql, (token_sha256,)).fetchone()
    return None if row is None else (str(row[0]), str(row[1]), str(row[2]))


def end_login(tx: Connection, token_sha256: str) -> None:
    tx.execute("DELETE FROM operator_tokens WHERE token_sha256 = %s", (token_sha256,))


def end_logins(tx: Connection, user_id: str) -> None:
    """Ends every login of a person."""
    tx.execute("DELETE FROM operator_tokens WHERE user_id = %s", (user_id,))
