"""A plant with devices whose histories are drawn at random, and sent in any order."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from central_server.store.database import Database
from central_server.store.ingest import push
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.messages import PushOp, PushRequest
from tests.central.devices import CLOCK, undone

DAYS = [date(2026, 1, 25) + timedelta(days) for days in range(70)]  # two whole months and a bit at each end
PRODUCTS = [CLOCK.new_id() for _ in range(2)]
ITEMS = {product: [CLOCK.new_id() for _ in range(2)] for product in PRODUCTS}
PEOPLE = [CLOCK.new_id() for _ in range(2)]
NOON = "T03:00:00.000Z"


@dataclass
class Plant:
    """Devices' histories as operations in the order they were made; what a device sent stands in `rows` too."""

    random: random.Random
    database: Database
    devices: list[str]
    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    seqs: Counter[str] = field(default_factory=Counter)

    def op(self, device: str, table: str, row: dict[str, Any], base: int | None = None) -> PushOp:
        self.seqs[device] += 1
        known = self.rows.setdefault(table, {}).setdefault(row["id"], {})
        known.update(row)
        self.owner.setdefault(row["id"], device)
        data = canonical_row(row).decode()
        return PushOp(
            seq=self.seqs[device],
            op_id=CLOCK.new_id(),
            tx_id=CLOCK.new_id(),
            entity_type=table,
            entity_id=row["id"],
            operation="INSERT" if base is None else "UPDATE",
            base_version=base,
            data=data,
            sha256=sha256_hex(data.encode()),
        )

    def inspection(self, device: str) -> list[PushOp]:
        """One session from its target to (perhaps) its end, with pictures again and verdicts corrected."""
        pick, day = self.random, self.random.choice(DAYS).isoformat()
        product, person = pick.choice(PRODUCTS), pick.choice([*PEOPLE, None])
        target, session, now = CLOCK.new_id(), CLOCK.new_id(), f"{day}{NOON}"
        ops = [self.op(device, "inspection_targets", _target(target, product, now))]
        ops.append(self.op(device, "inspection_sessions", _session(session, target, product, person, day)))
        for item in ITEMS[product]:
            for _ in range(pick.choice((0, 1, 1, 2))):
                image = CLOCK.new_id()
                ops.append(self.op(device, "inspection_images", _image(image, session, item, now)))
                for _ in range(pick.choice((1, 1, 2))):
                    result = pick.choice(("OK", "OK", "NG", "REVIEW", "ERROR"))
                    weight = pick.choice((None, None, 12.5)) if result == "OK" else None
                    row = _ai_result(session, item, image, result, weight, now)
                    ops.append(self.op(device, "ai_inspection_results", row))
            for _ in range(pick.choice((0, 1, 1, 2))):
                row = verification(
                    session, item, pick.choice(PEOPLE), pick.choice(("OK", "NG", "HOLD")), pick, now
                )
                ops.append(self.op(device, "human_verification_results", row))
        if pick.random() < 0.2:
            row = verification(session, None, pick.choice(PEOPLE), "OK", pick, now)
            ops.append(self.op(device, "human_verification_results", row))
        for version in range(1, pick.choice((1, 2, 3, 4))):
            ops.append(
                self.op(device, "inspection_sessions", _change(session, person, version, pick, day), version)
            )
        return ops

    def send(self, device: str, ops: list[PushOp]) -> None:
        """In any order and in batches of any size, some twice, some undone first; what is deferred comes again."""
        left = self.random.sample(ops, len(ops))
        while left:
            size = self.random.choice((1, 7, 40, 200))
            batch, left = left[:size], left[size:]
            deferred = self._push(device, batch)
            left += [op for op in batch if op.op_id in deferred]

    def _push(self, device: str, batch: list[PushOp]) -> set[str]:
        request = PushRequest(batch_id=CLOCK.new_id(), incarnation=device, ops=tuple(batch))
        if self.random.random() < 0.1:
            with undone(self.database) as tx:
                push(tx, device, request)
        for _ in range(self.random.choice((1, 1, 2))):
            with self.database.write() as tx:
                results = push(tx, device, request).results
            assert {result.outcome for result in results} <= {"applied", "duplicate", "deferred"}, results
        return {result.op_id for result in results if result.outcome == "deferred"}


def _target(target: str, product: str, now: str) -> dict[str, Any]:
    row = {"id": target, "product_id": product, "product_code": "P", "batch_id": "L", "serial_no": ""}
    return row | {"qr_code": target, "created_at": now, "updated_at": now}


def _session(session: str, target: str, product: str, person: str | None, day: str) -> dict[str, Any]:
    now = f"{day}{NOON}"
    row: dict[str, Any] = dict.fromkeys(("completed_at", "final_result", "reason"))
    row |= {"id": session, "target_id": target, "product_id": product, "user_server_id": person}
    row |= {"status": "PENDING", "started_at": now, "updated_at": now, "work_day": day, "source": "inspector"}
    return row | {"accept_ai_ok": 0, "master_version": "", "criteria_snapshot": "[]", "version": 1}


def _change(session: str, person: str | None, version: int, pick: random.Random, day: str) -> dict[str, Any]:
    status = pick.choice(("IN_PROGRESS", "COMPLETED", "COMPLETED", "CANCELLED", "FAILED"))
    final = pick.choice(("OK", "OK", "NG", "REVIEW")) if status == "COMPLETED" else None
    ended = f"{day}T03:{pick.randrange(60):02}:00.000Z" if status != "IN_PROGRESS" else None
    row = {"id": session, "status": status, "final_result": final, "completed_at": ended, "reason": None}
    changed = f"{day}T04:{version:02}:00.000Z"
    return row | {"user_server_id": person, "version": version + 1, "updated_at": changed}


def _image(image: str, session: str, item: str, now: str) -> dict[str, Any]:
    row = {"id": image, "session_id": session, "item_id": item, "image_type": "capture", "file_size": 1}
    row |= {"sha256": "0" * 64, "mime_type": "image/png", "width_px": 1, "height_px": 1, "captured_at": now}
    return row | {"captured_by_server_id": None, "source": "camera", "origin": "", "created_at": now}


def _ai_result(
    session: str, item: str, image: str, result: str, weight: float | None, now: str
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("pipeline_id", "pipeline_version", "pipeline_sha256", "provider"))
    row |= {"id": CLOCK.new_id(), "session_id": session, "item_id": item, "image_id": image}
    row |= {"criteria_sha256": "", "model_sha256s": "[]", "overall_result": result, "confidence": 0.5}
    return row | {
        "processing_time": 0.1,
        "detailed_results": None,
        "sample_weight": weight,
        "created_at": now,
    }


def verification(
    session: str, item: str | None, person: str, result: str, pick: random.Random, now: str
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("notes", "checks", "region", "supersedes", "image_id"))
    row |= {"id": CLOCK.new_id(), "session_id": session, "item_id": item, "user_server_id": person}
    row |= {
        "final_result": result,
        "reason_code": pick.choice(("scratch", "dent", None)) if result == "NG" else None,
    }
    return row | {"saw_ai": 1, "verification_time": pick.choice((1.5, 4.0)), "created_at": now}
