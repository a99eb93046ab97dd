"""A centre that has one of everything, and its person logged in at an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.store import users
from tests.bundles import LOOK, pipeline, with_template, write_model
from tests.sync.conftest import Agent
from tests.sync.fake_central import (
    FakeCentral,
    asset,
    item,
    model,
    new_id,
    product,
    user,
)
from tests.sync.fake_central import (
    pipeline as pipeline_row,
)


def fill(central: FakeCentral, folder: Path, version: str = "1.0.0", **changes: Any) -> dict[str, Any]:
    """A centre with a model, a template, a pipeline that uses both, a product, an item and a person."""
    template = np.random.default_rng(1).bytes(2000)
    made = {
        "user": central.put("users", user(1)),
        "model": central.put(
            "model_packages", model(2, write_model(folder, version, **changes), central.blobs)
        ),
        "asset": central.put("assets", asset(3, template, central.blobs)),
    }
    document = with_template(pipeline(), made["asset"]["sha256"])
    made["pipeline"] = central.put("pipelines", pipeline_row(4, document))
    made["product"] = central.put("inspection_targets_master", product(5))
    row = item(6, made["product"], LOOK, ai_enabled=1, pipeline_id=new_id(4))
    made["item"] = central.put("inspection_items_master", row)
    return made


def login(agent: Agent, user_id: int) -> None:
    with agent.database.write() as tx:
        users.add_login(tx, "t" * 64, user_id, "2026-11-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z")
