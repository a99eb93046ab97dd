"""A real store with real records and files, made through the real `Database`; tests damage it afterwards."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.models import Actor, Role
from edge_agent.store import masters
from edge_agent.store.database import Database, insert
from edge_agent.store.schema import open_database
from sync_protocol.canonical import canonical_json, sha256_hex

NOON = 1_795_435_200.0  # 2026-11-23T12:00:00Z
DAY = "2026-11-23"
INSPECTOR = Actor("mika", 1, Role.INSPECTOR)


@dataclass
class Ticking:
    """A wall clock that moves one second on every look."""

    now: float = NOON

    def __call__(self) -> float:
        self.now += 1
        return self.now


@dataclass
class Store:
    """One installation in a directory. Every `add_*` returns the new row's id. `ids`: what masters are called
    instead of by their names, for a server takes UUIDs only."""

    data_dir: Path
    time: Ticking = field(default_factory=Ticking)
    ids: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock(time=self.time)
        self.config = load_config(self.data_dir)
        self.blobs = Blobs(self.data_dir, self.clock)
        self.blobs.prepare()
        self.database: Database = open_database(self.config.database_path, self.clock, "desktop", "0.1.0")

    def close(self) -> None:
        self.database.close()

    def id_of(self, name: str) -> str:
        """Of the master with that name."""
        return self.ids.get(name, name)

    # ── masters ─────────────────────────────────────────────────────────────────────────────────────

    def add_masters(self) -> None:
        """User 1, product `plate` with items `plate-face` (AI) and `plate-lamp` (people), model, asset."""
        asset = self.blobs.put_asset(b"a template")
        definition = {"schema": "pipeline/1", "code": "face", "template": f"sha256:{asset}"}
        with self.database.write() as tx:
            insert(tx, "users", _user())
            masters.put(tx, "inspection_targets_master", _product(self.id_of("plate")))
            masters.put(tx, "pipelines", _pipeline(self.id_of("pipe-1"), definition))
            masters.put(tx, "inspection_items_master", _item(self.id_of, "plate-face", "pipe-1"))
            masters.put(tx, "inspection_items_master", _item(self.id_of, "plate-lamp", None))
            self.add_model(tx, "face", "1.0.0")

    def add_model(self, tx: sqlite3.Connection, name: str, version: str) -> None:
        folder = self.data_dir / "models" / f"{name}-{version}"
        folder.mkdir(parents=True)
        model = f"weights of {name} {version}".encode()
        (folder / "model.onnx").write_bytes(model)
        manifest = {"name": name, "version": version, "file": "model.onnx", "sha256": sha256_hex(model)}
        (folder / "model.json").write_text(json.dumps(manifest))
        row = {
            "name": name,
            "version": version,
            "task": "classify",
            "model_sha256": sha256_hex(model),
            "manifest": json.dumps(manifest),
            "installed_at": self.clock.now(),
            "activated_at": self.clock.now(),
            "is_active": 1,
        }
        insert(tx, "model_packages", row)

    # ── facts ───────────────────────────────────────────────────────────────────────────────────────

    def add_session(self, *, status: str = "PENDING", user_id: int | None = 1) -> str:
        """A new target and its session."""
        now, target_id, session_id = self.clock.now(), self.clock.new_id(), self.clock.new_id()
        target = {
            "id": target_id,
            "product_id": self.id_of("plate"),
            "product_code": "PLATE",
            "batch_id": "L1",
            "serial_no": target_id[-4:],
            "qr_code": f"PLATE;{target_id}",
            "created_at": now,
            "updated_at": now,
        }
        items = [{"id": self.id_of(f"plate-{code}"), "item_code": code} for code in ("face", "lamp")]
        session = {
            "id": session_id,
            "target_id": target_id,
            "user_id": user_id,
            "status": status,
            "started_at": now,
            "product_id": self.id_of("plate"),
            "work_day": DAY,
            "source": "inspector" if user_id else "folder",
            "criteria_snapshot": json.dumps(items),
            "updated_at": now,
        }
        with self.database.write(INSPECTOR) as tx:
            insert(tx, "inspection_targets", target)
            insert(tx, "inspection_sessions", session)
        return session_id

    def add_image(self, session_id: str, item_id: str = "plate-face", *, state: str = "inspected") -> str:
        """A durable file and its row; the content depends on the id alone."""
        image_id = self.clock.new_id()
        content = f"picture {image_id}".encode() * 40
        staged = self.blobs.stage(content, image_id, "image/png", DAY)
        self.blobs.commit([staged])
        now = self.clock.now()
        row = {
            "id": image_id,
            "session_id": session_id,
            "file_path": staged.file_path,
            "file_size": len(content),
            "created_at": now,
            "item_id": item_id and self.id_of(item_id),
            "sha256": hashlib.sha256(content).hexdigest(),
            "mime_type": "image/png",
            "width_px": 64,
            "height_px": 48,
            "captured_at": now,
            "captured_by": 1,
            "source": "upload",
            "state": state,
        }
        with self.database.write(INSPECTOR) as tx:
            insert(tx, "inspection_images", row)
        return image_id

    def add_ai_result(
        self,
        session_id: str,
        image_id: str,
        result: str = "OK",
        *,
        weight: float | None = None,
        detail: str = '{"steps":[]}',
    ) -> str:
        row = {
            "id": self.clock.new_id(),
            "session_id": session_id,
            "overall_result": result,
            "confidence": 0.93,
            "processing_time": 0.012,
            "detailed_results": detail,
            "created_at": self.clock.now(),
            "item_id": self.id_of("plate-face"),
            "image_id": image_id,
            "pipeline_id": self.id_of("pipe-1"),
            "criteria_sha256": "c" * 64,
            "sample_weight": weight,
        }
        with self.database.write() as tx:
            insert(tx, "ai_inspection_results", row)
        return str(row["id"])

    def add_verification(self, session_id: str, item_id: str | None, result: str = "OK") -> str:
        row = {
            "id": self.clock.new_id(),
            "session_id": session_id,
            "user_id": 1,
            "final_result": result,
            "verification_time": 2.5,
            "created_at": self.clock.now(),
            "item_id": item_id and self.id_of(item_id),
            "reason_code": "scratch" if result == "NG" else None,
        }
        with self.database.write(INSPECTOR) as tx:
            insert(tx, "human_verification_results", row)
        return str(row["id"])

    def move(self, session_id: str, status: str, final_result: str | None = None) -> None:
        """Changes a session's status as the product does: version and instants with it."""
        now = self.clock.now()
        closed = now if status in ("COMPLETED", "FAILED", "CANCELLED") else None
        with self.database.write(INSPECTOR) as tx:
            tx.execute(
                """UPDATE inspection_sessions SET status = ?, final_result = ?, completed_at = ?,
                   version = version + 1, updated_at = ? WHERE id = ?""",
                (status, final_result, closed, now, session_id),
            )

    def inspect(self, *, ai: str = "OK", human: str = "OK", final: str | None = "OK") -> str:
        """A whole inspection: picture, AI verdict, two human verdicts; completed unless `final` is None."""
        session_id = self.add_session()
        image_id = self.add_image(session_id)
        self.move(session_id, "IN_PROGRESS")
        self.add_ai_result(session_id, image_id, ai)
        self.move(session_id, "AI_COMPLETED")
        self.add_verification(session_id, "plate-face", human)
        self.add_verification(session_id, "plate-lamp", human)
        self.move(session_id, "HUMAN_REVIEW")
        if final is not None:
            self.move(session_id, "COMPLETED", final)
        return session_id

    # ── damage ──────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def forged(self) -> Iterator[sqlite3.Connection]:
        """A foreign connection that may do anything: the triggers are away and come back as they were."""
        connection = sqlite3.connect(self.config.database_path, isolation_level=None)
        connection.row_factory = sqlite3.Row
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        try:
            connection.execute("BEGIN IMMEDIATE")
            for trigger in triggers:
                connection.execute(f"DROP TRIGGER {trigger['name']}")
            yield connection
            for trigger in triggers:
                connection.execute(trigger["sql"])
            connection.execute("COMMIT")
        finally:
            connection.close()


def _user() -> dict[str, Any]:
    return {"username": "mika", "password_hash": "", "server_id": "018f0000-0000-7000-8000-000000000001"}


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "created_at": "2026-11-01T00:00:00.000Z", "updated_at": "2026-11-01T00:00:00.000Z"}


def _product(product_id: str) -> dict[str, Any]:
    return _dated({"id": product_id, "product_code": "PLATE", "product_name": "Plate", "version": "1"})


def _pipeline(pipeline_id: str, definition: dict[str, Any]) -> dict[str, Any]:
    return _dated(
        {
            "id": pipeline_id,
            "code": "face",
            "name": "face",
            "definition": json.dumps(definition),
            "sha256": sha256_hex(canonical_json(definition)),
            "definition_version": "1.0.0",
        }
    )


def _item(id_of: Callable[[str], str], name: str, pipeline: str | None) -> dict[str, Any]:
    return _dated(
        {
            "id": id_of(name),
            "target_id": id_of("plate"),
            "item_code": name.removeprefix("plate-"),
            "item_name": name,
            "inspection_type": "VISUAL" if pipeline else "FUNCTION",
            "ai_enabled": int(pipeline is not None),
            "pipeline_id": id_of(pipeline) if pipeline else None,
            "criteria": "{}",
            "order_sequence": 1,
        }
    )
