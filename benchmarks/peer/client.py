"""The agent as one peer of the comparison: a child that answers one JSON line per line (`load`, `push`, `pull`, …).

Rules of this file:
- A whole agent with its real store and engine; only its scheduler is missing, because the harness says when.
- The workload's rows become the agent's own: the same values under our columns, ids as UUIDv7 of the same instants.
- A pass is a whole pass, greeting included, whichever direction was asked for.
"""

from __future__ import annotations

import importlib
import json
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_agent import heap
from edge_agent.api.services import Services
from edge_agent.clock import Clock, to_rfc3339, uuid7
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.models import Actor, Role
from edge_agent.store.database import insert

TECHNICIAN = Actor("bench", None, Role.TECHNICIAN)
Row = dict[str, Any]


def main(url: str, data_dir: str, code: str, harness: str) -> None:
    sys.path.insert(0, harness)
    with running_services(load_config(Path(data_dir), workers=1), Clock()) as services:
        peer = Peer(services, url, code)
        heap.started()
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            command: Callable[..., Any] = getattr(peer, asked.pop("cmd"))
            print(json.dumps(command(**asked)), flush=True)


class Peer:
    """The commands of the harness, by name."""

    def __init__(self, services: Services, url: str, code: str) -> None:
        self._services, self._url, self._code = services, url, code

    def enrol(self) -> Row:
        self._services.sync.enrol(self._url, self._code, TECHNICIAN)
        return {}

    def load(self, n: int) -> Row:
        """The workload as this agent's own records, one transaction an inspection, as they would be made."""
        workload = importlib.import_module("workload")  # the harness's
        self.sync()
        masters = self._masters()
        for number in range(n):
            with self._services.database.write(TECHNICIAN) as tx:
                for table, row in translated(workload.inspection(1, number), masters):
                    insert(tx, table, row)
        return {"rows": 6 * n}

    def sync(self) -> Row:
        link = self._services.sync.link()
        link.forget()
        report = link.rows.run_pass(pass_s=float("inf"))
        assert not report.failures, report.failures
        return {"steps": report.steps}

    push = pull = noop = sync

    def touch(self) -> Row:
        with self._services.database.write(TECHNICIAN) as tx:
            tx.execute(
                """UPDATE inspection_sessions SET version = version + 1, updated_at = ?
                   WHERE id = (SELECT min(id) FROM inspection_sessions)""",
                (self._services.clock.now(),),
            )
        return {}

    def counts(self) -> Row:
        sql = "SELECT count(*) FROM inspection_items_master WHERE item_code LIKE 'bulk-%'"
        with self._services.database.read() as reader:
            return {"inspection_items_master": reader.execute(sql).fetchone()[0]}

    def _masters(self) -> Mapping[str, list[tuple[Any, ...]]]:
        with self._services.database.read() as reader:
            return {
                "items": [
                    tuple(row) for row in reader.execute("SELECT target_id, id FROM inspection_items_master")
                ],
                "users": [tuple(row) for row in reader.execute("SELECT id FROM users ORDER BY id")],
            }


def translated(
    rows: list[tuple[str, Row]], masters: Mapping[str, list[tuple[Any, ...]]]
) -> Iterator[tuple[str, Row]]:
    """The six rows of one inspection under our columns."""
    target = rows[0][1]
    product_id, item_id = masters["items"][int(target["product_id"][-3:]) % len(masters["items"])]
    user_id = masters["users"][rows[-1][1]["user_id"] % len(masters["users"])][0]
    ids = {row["id"]: _id(row) for _, row in rows}
    image_id = ids[rows[2][1]["id"]]
    more: dict[str, Row] = {
        "inspection_targets": {
            "product_id": product_id,
            "serial_no": "",
            "product_code": target["product_id"],
        },
        "inspection_sessions": {
            "user_id": user_id,
            "status": "COMPLETED",
            "product_id": product_id,
            "work_day": target["created_at"][:10],
            "final_result": "OK",
            "criteria_snapshot": "[]",
        },
        "inspection_images": {
            "item_id": item_id,
            "mime_type": "image/jpeg",
            "captured_by": user_id,
            "source": "camera",
            "state": "inspected",
        },
        "ai_inspection_results": {"item_id": item_id, "image_id": image_id, "criteria_sha256": ""},
        "human_verification_results": {"item_id": item_id, "user_id": user_id, "image_id": image_id},
    }
    for table, row in rows:
        made = {name: _value(name, value, ids) for name, value in row.items()} | more[table]
        if table == "inspection_images":
            made |= {
                "width_px": made.pop("width"),
                "height_px": made.pop("height"),
                "captured_at": made["created_at"],
            }
        yield table, made


def _value(name: str, value: Any, ids: Mapping[str, str]) -> Any:
    if name.endswith("_at") and value is not None:
        return to_rfc3339(datetime.fromisoformat(value).timestamp())
    return ids.get(value, value) if isinstance(value, str) else value


def _id(row: Row) -> str:
    made_at = row.get("created_at") or row["started_at"]
    return uuid7(datetime.fromisoformat(made_at).timestamp(), uuid.UUID(row["id"]).bytes[:10])


if __name__ == "__main__":
    main(*sys.argv[1:])
