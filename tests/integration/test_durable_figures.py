"""What one image costs the disk, as docs/durability.md states it."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.api.services import Services
from edge_agent.models import ImageSource
from tests.integration.conftest import SATO
from tests.waiting import WAIT_S


def test_an_image_costs_two_syncs_of_files_and_one_or_two_transactions(
    agent: Services, picture: Callable[..., bytes]
) -> None:
    view = agent.sessions.start('{"product":"PLATE","serial":"figures"}', SATO)
    item_id = view.items[0].item.id
    for _ in range(4):
        fsyncs, commits = agent.blobs.fsyncs, agent.database.commits
        added = agent.intake.add(
            view.session.id, item_id, picture(), source=ImageSource.UPLOAD, origin="camera", actor=SATO
        )
        assert added.verdict.result(WAIT_S)
        assert agent.blobs.fsyncs - fsyncs == 2
        assert agent.database.commits - commits in (1, 2)
