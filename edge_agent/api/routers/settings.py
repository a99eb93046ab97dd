"""Settings that change while the agent runs."""

from __future__ import annotations

from fastapi import APIRouter

from edge_agent.api.auth import Anyone, Has, Technician
from edge_agent.api.bodies.equipment import ScanTrial
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.inspection.reasons import KEY as REASONS
from edge_agent.inspection.reasons import ReasonList
from edge_agent.inspection.scan import Scan, ScanMapping, parse_scan
from edge_agent.store import audit, settings

router = APIRouter(prefix="/settings", tags=["settings"], route_class=KeyedRoute)


@router.get("/scan-mapping")
def get_scan_mapping(_who: Anyone, has: Has) -> ScanMapping:
    """Where product code, lot and serial stand in a scanned text."""
    with has.database.read() as reader:
        return ScanMapping.model_validate(settings.get(reader, "scan.mapping") or {})


@router.put("/scan-mapping")
def put_scan_mapping(body: ScanMapping, who: Technician, has: Has) -> ScanMapping:
    """Replaces the mapping; the next scan is read by it."""
    with has.database.write(who.actor) as tx:
        settings.put(tx, "scan.mapping", body.model_dump(mode="json"), has.clock.now())
        audit.append(tx, "settings", "system_config", "scan.mapping", body.model_dump(mode="json"))
    return body


@router.post("/scan-mapping/try")
def try_scan_mapping(body: ScanTrial, _who: Technician) -> Scan:
    """What a text would be read as; changes nothing."""
    return parse_scan(body.text, body.mapping)


@router.get("/reasons")
def get_reasons_offered(_who: Anyone, has: Has) -> ReasonList:
    """The reasons offered for NG and HOLD, in both languages."""
    with has.database.read() as reader:
        return ReasonList.model_validate(settings.get(reader, REASONS) or {})


@router.put("/reasons")
def put_reasons_offered(body: ReasonList, who: Technician, has: Has) -> ReasonList:
    """Replaces the reasons; verdicts already given keep the codes they name."""
    with has.database.write(who.actor) as tx:
        settings.put(tx, REASONS, body.model_dump(mode="json"), has.clock.now())
        audit.append(tx, "settings", "system_config", REASONS, body.model_dump(mode="json"))
    return body
