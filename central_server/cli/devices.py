"""`device`: who may synchronise."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from central_server.cli.options import WHO, AsJson, database, settings
from edge_agent.cli.output import emit_facts, emit_json, emit_table
from edge_agent.errors import NotFound

app = typer.Typer(help="Devices: enrol them, list them, withdraw their access.", no_args_is_help=True)
SHOWN = ("device_id", "device_type", "site", "app_version", "state", "last_seen_at", "last_seq")


@app.command()
def code(
    context: typer.Context,
    site: Annotated[str, typer.Option(help="Where the device stands; kept with it.")] = "",
    as_json: AsJson = False,
) -> None:
    """A one-time code with which one device enrols: `edge-agent enroll --server URL --code CODE`."""
    from central_server.devices import issue_code
    from edge_agent.clock import Clock

    valid_s = settings(context).code_hours * 3600
    with database(context) as opened:
        issued = issue_code(opened, Clock(), site, valid_s, WHO)
    emit_json(asdict(issued)) if as_json else emit_facts(asdict(issued))


@app.command("list")
def list_devices(context: typer.Context, as_json: AsJson = False) -> None:
    """Every device that was ever enrolled, oldest first."""
    from central_server.store import devices

    with database(context) as opened, opened.snapshot() as tx:
        found = [one | {"state": _state(one)} for one in devices.listed(tx)]
    emit_json({"devices": found}) if as_json else emit_table(SHOWN, found, empty="no device is enrolled")


@app.command()
def revoke(context: typer.Context, device_id: str, as_json: AsJson = False) -> None:
    """Withdraws a device's access at once. It keeps what it has not sent; a new code lets it come back."""
    from central_server.store import devices, operator_log

    with database(context) as opened, opened.write() as tx:
        if not devices.revoke(tx, device_id):
            raise NotFound(f"There is no device {device_id}.", code="device-unknown")
        operator_log.note(tx, WHO, "device.revoke", device_id)
    emit_json({"device_id": device_id}) if as_json else print(f"Device {device_id} has no access any more.")


def _state(device: dict[str, object]) -> str:
    if device["revoked_at"]:
        return "revoked"
    return "enrolled" if device["confirmed_at"] else "token not used yet"
