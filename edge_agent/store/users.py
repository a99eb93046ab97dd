"""People and their logins.

Rules of this file:
- Password hashes and token hashes never leave this module except to be compared.
- `users.id` is local; `server_id` is the person's identity on the wire.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from edge_agent.models import User
from edge_agent.store.database import insert
from edge_agent.store.records import columns, many, one


def find_user(reader: sqlite3.Connection, username: str) -> tuple[User, str] | None:
    """The active user and the password hash."""
    sql = f"SELECT {columns(User)}, password_hash FROM users WHERE username = ? AND is_active = 1"
    row = reader.execute(sql, (username,)).fetchone()
    if row is None:
        return None
    user = get_user(reader, row["id"])
    assert user is not None
    return user, row["password_hash"]


def get_user(reader: sqlite3.Connection, user_id: int) -> User | None:
    sql = f"SELECT {columns(User)} FROM users WHERE id = ?"
    return one(User, reader.execute(sql, (user_id,)))


def list_users(reader: sqlite3.Connection) -> list[User]:
    return many(User, reader.execute(f"SELECT {columns(User)} FROM users ORDER BY username"))


def change_user(tx: sqlite3.Connection, user_id: int, changes: Mapping[str, Any], now: str) -> None:
    """Sets the named columns; column names come from our own code."""
    sets = "".join(f"{name} = ?, " for name in changes)
    tx.execute(f"UPDATE users SET {sets}updated_at = ? WHERE id = ?", (*changes.values(), now, user_id))


def set_password(
    tx: sqlite3.Connection, user_id: int, password_hash: str, now: str, *, keep_sha256: str = ""
) -> None:
    """Replaces the hash and ends every login of that user but the one with the token of `keep_sha256`."""
    tx.execute(
        "UPDATE users SET password_hash = ?, updated_at = ? WHERE id = ?", (password_hash, now, user_id)
    )
    sql = "DELETE FROM login_tokens WHERE user_id = ? AND token_sha256 <> ?"
    tx.execute(sql, (user_id, keep_sha256))


def set_active(tx: sqlite3.Connection, user_id: int, is_active: bool, now: str) -> None:
    tx.execute("UPDATE users SET is_active = ?, updated_at = ? WHERE id = ?", (is_active, now, user_id))
    if not is_active:
        tx.execute("DELETE FROM login_tokens WHERE user_id = ?", (user_id,))


def end_logins(tx: sqlite3.Connection, server_id: str) -> None:
    """Ends every login of the person with this identity."""
    sql = "DELETE FROM login_tokens WHERE user_id = (SELECT id FROM users WHERE server_id = ?)"
    tx.execute(sql, (server_id,))


def add_login(tx: sqlite3.Connection, token_sha256: str, user_id: int, now: str, expires_at: str) -> None:
    tx.execute("DELETE FROM login_tokens WHERE expires_at <= ?", (now,))
    row = {"token_sha256": token_sha256, "user_id": user_id, "created_at": now, "expires_at": expires_at}
    insert(tx, "login_tokens", row)


def remove_login(tx: sqlite3.Connection, token_sha256: str) -> None:
    tx.execute("DELETE FROM login_tokens WHERE token_sha256 = ?", (token_sha256,))


def user_of_login(reader: sqlite3.Connection, token_sha256: str, now: str) -> User | None:
    """Whose token this is, if it has not expired and the user is active."""
    sql = (
        f"SELECT {columns(User, 'u.')} FROM login_tokens t JOIN users u ON u.id = t.user_id "
        "WHERE t.token_sha256 = ? AND t.expires_at > ? AND u.is_active = 1"
    )
    return one(User, reader.execute(sql, (token_sha256, now)))


def forget_expired(tx: sqlite3.Connection, now: str, *, keys_before: str) -> None:
    """Removes logins that ended before `now` and idempotency keys older than `keys_before`, RFC 3339."""
    tx.execute("DELETE FROM login_tokens WHERE expires_at < ?", (now,))
    tx.execute("DELETE FROM idempotency_keys WHERE created_at < ?", (keys_before,))


def exist(reader: sqlite3.Connection) -> bool:
    """Whether anybody may log in here; also the cheapest proof that the database answers."""
    return reader.execute("SELECT 1 FROM users LIMIT 1").fetchone() is not None
