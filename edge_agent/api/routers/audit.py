"""The audit trail: who did what, and the proof that nothing was changed since."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query

from edge_agent.api.auth import Has, Senior
from edge_agent.api.bodies.fields import Limit
from edge_agent.api.bodies.figures import AuditPage, AuditProof
from edge_agent.errors import BadInput
from edge_agent.store import audit

router = APIRouter(prefix="/audit", tags=["audit"])
MAX_FAULTS = 100


@router.get("")
def list_audit(
    _who: Senior,
    has: Has,
    before_seq: Annotated[int, Query(ge=1, le=audit.MAX_SEQ)] = audit.MAX_SEQ,
    entity_type: Annotated[str | None, Query(max_length=64)] = None,
    entity_id: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 100,
) -> AuditPage:
    """Entries, newest first; of one entity if its type and id are named."""
    if (entity_type is None) != (entity_id is None):
        raise BadInput("entity_type and entity_id belong together.", code="entity-incomplete")
    entity = (entity_type, entity_id) if entity_type is not None and entity_id is not None else None
    with has.database.read() as reader:
        found = audit.list_entries(reader, before_seq=before_seq, entity=entity, limit=limit)
    return AuditPage(found, found[-1].seq if len(found) == limit else None)


@router.get("/verify")
def verify_audit(_who: Senior, has: Has) -> AuditProof:
    """Recomputes the whole chain."""
    with has.database.snapshot() as reader:
        faults = list(islice(audit.verify(reader), MAX_FAULTS))
        newest = audit.list_entries(reader, limit=1)
    return AuditProof(not faults, newest[0].seq if newest else 0, faults)
