"""Photographs: the rows of durable files, and how far each has come.

Rules of this file:
- A row is inserted only after its file is durable (`blobs`); its facts never change (a trigger says so).
- `state` moves captured → inspecting → inspected | failed; only `attempts` and `failure` change beside it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.models import Image, ImageState
from edge_agent.store.database import placeholders
from edge_agent.store.records import columns, many, one


def get_image(reader: sqlite3.Connection, image_id: str) -> Image | None:
    sql = f"SELECT {columns(Image)} FROM inspection_images WHERE id = ?"
    return one(Image, reader.execute(sql, (image_id,)))


def list_images(reader: sqlite3.Connection, session_id: str) -> list[Image]:
    sql = f"SELECT {columns(Image)} FROM inspection_images WHERE session_id = ? ORDER BY item_id, id"
    return many(Image, reader.execute(sql, (session_id,)))


def known_sha256s(reader: sqlite3.Connection, sha256s: list[str]) -> dict[str, str]:
    """Which of these bytes we have: sha256 → id of its oldest image."""
    marks = placeholders(sha256s)
    sql = f"SELECT sha256, min(id) FROM inspection_images WHERE sha256 IN ({marks}) GROUP BY sha256"
    return {row[0]: row[1] for row in reader.execute(sql, sha256s)}


def same_image(reader: sqlite3.Connection, session_id: str, item_id: str, sha256: str) -> Image | None:
    """The image of this item that has exactly these bytes."""
    sql = (
        f"SELECT {columns(Image)} FROM inspection_images WHERE sha256 = ? AND session_id = ? AND item_id = ?"
    )
    return one(Image, reader.execute(sql, (sha256, session_id, item_id)))


def set_state(tx: sqlite3.Connection, image_id: str, state: ImageState, failure: str | None = None) -> None:
    tx.execute(
        """UPDATE inspection_images SET state = ?1, failure = ?2, attempts = attempts + (?1 = 'inspecting')
           WHERE id = ?3""",
        (state, failure, image_id),
    )


def leave_open(tx: sqlite3.Connection, image_id: str) -> None:
    """Of an image inserted in this transaction in the hope of its verdict: the run is still under way."""
    tx.execute("UPDATE inspection_images SET state = 'inspecting' WHERE id = ?", (image_id,))


def unfinished(reader: sqlite3.Connection, limit: int) -> list[Image]:
    """Images whose AI run was cut off (the agent was stopped or killed), oldest first."""
    sql = f"SELECT {columns(Image)} FROM inspection_images WHERE state = 'inspecting' ORDER BY id LIMIT ?"
    return many(Image, reader.execute(sql, (limit,)))


@dataclass(frozen=True, slots=True)
class Kept:
    """A photograph that only this machine is known to have."""

    id: str
    file_path: str
    sha256: str


def not_uploaded(reader: sqlite3.Connection, after_id: str, limit: int) -> list[Kept]:
    """Those the object store has not verified, in the order in which they were taken, after `after_id`."""
    sql = f"""SELECT {columns(Kept)} FROM inspection_images WHERE uploaded_at IS NULL AND id > ?
              ORDER BY id LIMIT ?"""
    return many(Kept, reader.execute(sql, (after_id, limit)))
