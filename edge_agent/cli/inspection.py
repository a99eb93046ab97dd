"""`inspect`: pictures from the command line to verdicts.

Rules of this file:
- The same picture of the same item again is the same session and image: nothing is doubled.
- One bad picture does not keep the others from being judged; its reason is in its line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli.connection import Connection, Refused, quoted
from edge_agent.cli.exits import Exit
from edge_agent.cli.options import AsJson, AsUser, agent, read_file
from edge_agent.cli.output import emit_json, emit_table
from edge_agent.cli.progress import bar
from edge_agent.cli.sessions import find_item, item_id
from edge_agent.errors import AgentError, BadInput

VERDICT_S = 60
COLUMNS = ("image", "verdict", "confidence", "ms", "session", "note")


def inspect(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files.")],
    item: Annotated[str, typer.Option(metavar="PRODUCT/ITEM", help="What the pictures show.")],
    session: Annotated[
        str | None, typer.Option(help="Add them to this open session instead of one for each.")
    ] = None,
    lot: Annotated[str | None, typer.Option(help="Lot number of the products.")] = None,
    serial: Annotated[
        str | None, typer.Option(help="Serial number; all pictures then belong to one session.")
    ] = None,
    accept_ai_ok: Annotated[bool, typer.Option("--accept-ai-ok", help="An AI OK needs no person.")] = False,
    fail_on_ng: Annotated[
        bool, typer.Option("--fail-on-ng", help="Exit 9 unless every verdict is OK.")
    ] = False,
    user: AsUser = None,
    as_json: AsJson = False,
) -> int:
    """Has the AI judge pictures. Exit 0: every one was judged, whatever the verdicts."""
    product, slash, code = item.partition("/")
    if not product or not slash or not code:
        raise BadInput(
            f"{item!r} is not PRODUCT/ITEM.", code="bad-item", hint="Write for example PLATE/look."
        )
    rows: list[dict[str, Any]] = []
    with agent(context, user) as connection, bar("Inspecting") as report:
        find_item(connection, product, code)
        for done, path in enumerate(images):
            report(path.name, done, len(images))
            request = {"lot": lot or "", "serial": serial, "accept_ai_ok": accept_ai_ok}
            rows.append(_judged(connection, path, product, code, session, request))
    emit_json({"images": rows}) if as_json else emit_table(COLUMNS, rows)
    return exit_of(rows, fail_on_ng=fail_on_ng)


def exit_of(rows: list[dict[str, Any]], *, fail_on_ng: bool) -> int:
    """The first picture that was not judged decides; else whether all are OK, if that was asked."""
    failed = [row["exit_code"] for row in rows if row["exit_code"]]
    if failed:
        return int(failed[0])
    is_ng = any(row["verdict"] != "OK" for row in rows)
    return Exit.FINDINGS if fail_on_ng and is_ng else Exit.DONE


def _judged(
    connection: Connection,
    path: Path,
    product: str,
    code: str,
    session: str | None,
    request: Mapping[str, Any],
) -> dict[str, Any]:
    row: dict[str, Any] = {"image": path.name, "verdict": None, "exit_code": 0}
    try:
        data = read_file(path)
        body = (
            connection.get(f"/sessions/{quoted(session)}")
            if session
            else connection.post("/sessions", _start(connection, path, data, product, request))
        )
        reply = _added(connection, body["session"]["id"], item_id(body, code), path, data)
    except AgentError as error:
        exit_code = error.exit_status if isinstance(error, Refused) else error.exit_code
        return row | {"exit_code": exit_code, "note": f"{error.detail} [{error.code_}]", "code": error.code_}
    return row | {"session": body["session"]["id"], "image_id": reply["image"]["id"]} | _verdict(reply)


def _start(
    connection: Connection, path: Path, data: bytes, product: str, request: Mapping[str, Any]
) -> dict[str, Any]:
    """A code that names product, lot and serial in the words this installation reads."""
    mapping = connection.get("/settings/scan-mapping")
    sha256 = hashlib.sha256(data).hexdigest()
    facts = {
        mapping["json_product_code"][0]: product,
        mapping["json_lot"][0]: request["lot"],
        mapping["json_serial"][0]: request["serial"] or f"{path.stem[:40]}-{sha256[:12]}",
    }
    text = json.dumps({name: value for name, value in facts.items() if value}, ensure_ascii=False)
    return {"text": text, "accept_ai_ok": request["accept_ai_ok"]}


def _added(connection: Connection, session: str, item: str, path: Path, data: bytes) -> Any:
    return connection.post(
        f"/sessions/{quoted(session)}/items/{item}/images",
        params={"name": path.name[:200], "wait_s": VERDICT_S},
        content=data,
        headers={"Content-Type": "application/octet-stream"},
        answer_s=VERDICT_S + 30,
    )


def _verdict(reply: Mapping[str, Any]) -> dict[str, Any]:
    result = reply["verdict"]
    if result is None:
        notes = {
            "none": "this item is judged by people",
            "withheld": "shown once a person has decided",
            "pending": "not judged yet; look at the session",
        }
        state = reply["verdict_state"]
        exit_code = Exit.UNAVAILABLE if state == "pending" else Exit.DONE
        return {"note": notes[state], "exit_code": int(exit_code)}
    return {
        "verdict": result["overall_result"],
        "confidence": result["confidence"],
        "ms": round(result["processing_time"] * 1000, 1),
        "note": "already here" if reply["is_duplicate"] else None,
    }
