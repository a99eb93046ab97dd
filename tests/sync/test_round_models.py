"""Models that come from the centre: proven before they judge, fetched no more than needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_agent.models import Actor
from edge_agent.sync.lane import SyncFailed
from tests.bundles import pipeline, write_model
from tests.sync.conftest import Agent
from tests.sync.fake_central import (
    model,
    new_id,
)
from tests.sync.fake_central import (
    pipeline as pipeline_row,
)
from tests.sync.filled import fill


def test_a_model_that_disagrees_with_its_golden_samples_does_not_go_live(
    agent: Agent, tmp_path: Path
) -> None:
    central = agent.central
    fill(central, tmp_path / "m")
    agent.pass_once()
    golden = [{"image": "golden/white.png", "expect": {"class": "dark"}, "tolerance": 0.01}]
    central.put(
        "model_packages", model(7, write_model(tmp_path / "m", "2.0.0", golden=golden), central.blobs)
    )
    central.change("model_packages", new_id(2), is_active=0)
    central.put("pipelines", pipeline_row(4, pipeline(version="2.0.0") | {"version": "2.0.0"}, version=2))
    agent.pass_once()
    assert "golden-differs" in agent.problems()[0]
    assert f"model_packages/{new_id(7)}" in agent.problems()[0]
    [running] = agent.masters.running.pipelines.values()
    assert (running.definition_version, running.plan.models[0].version) == ("1.0.0", "1.0.0")
    assert agent.rows("model_packages", "version, is_active") == [("1.0.0", 1)]
    assert [path.name for path in (agent.config.data_dir / "models").iterdir()] == ["bright-1.0.0"]
    central.delete("model_packages", new_id(7))
    good = model(8, write_model(tmp_path / "good", "2.0.0"), central.blobs)
    central.put("model_packages", good)
    agent.pass_once()
    [running] = agent.masters.running.pipelines.values()
    assert running.plan.models[0].version == "2.0.0"
    assert agent.rows("model_packages", "version, is_active") == [("1.0.0", 0), ("2.0.0", 1)]


def test_a_download_that_is_cut_goes_on_where_it_stopped(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    made = fill(central, tmp_path / "m")
    central.cut_after = 100
    for _ in range(2):
        with pytest.raises(SyncFailed, match="cut"):
            agent.pass_once()
    central.cut_after = None
    agent.pass_once()
    assert "fetch from 200" in central.asked
    assert agent.masters.running.findings == ()
    assert made["model"]["archive_size"] > 200


def test_other_bytes_than_announced_are_fetched_anew(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    made = fill(central, tmp_path / "m")
    sha256 = made["model"]["archive_sha256"]
    good = central.blobs[sha256]
    central.blobs[sha256] = b"x" * len(good)
    with pytest.raises(SyncFailed) as failed:
        agent.pass_once()
    assert failed.value.code_ == "blob-differs"
    central.blobs[sha256] = good
    agent.pass_once()
    assert agent.cursor() == 6


def test_a_version_here_with_other_content_is_refused(agent: Agent, tmp_path: Path) -> None:
    fill(agent.central, tmp_path / "m")
    agent.masters.install_model(write_model(tmp_path / "own", licence="MIT"), Actor("technician"))
    agent.pass_once()
    assert "model-immutable" in agent.problems()[0]
    assert agent.cursor() == 0


@pytest.mark.parametrize("values", [{"archive_sha256": "../../etc/passwd"}, {"archive_size": 1 << 40}])
def test_a_file_that_cannot_be_fetched_safely_is_refused(
    agent: Agent, tmp_path: Path, values: dict[str, Any]
) -> None:
    fill(agent.central, tmp_path / "m")
    agent.central.change("model_packages", new_id(2), **values)
    agent.pass_once()
    assert f"model_packages/{new_id(2)}" in agent.problems()[0]


def test_a_version_chosen_here_stays_until_the_server_chooses_anew(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    fill(central, tmp_path / "m")
    central.put("pipelines", pipeline_row(4, pipeline(version=None)))
    agent.pass_once()
    agent.masters.install_model(write_model(tmp_path / "m", "0.9.0"), Actor("technician"), activate=True)
    central.change("model_packages", new_id(2), updated_at="2026-11-02T00:00:00.000Z")
    agent.pass_once()
    assert agent.rows("model_packages", "version, is_active") == [("0.9.0", 1), ("1.0.0", 0)]
    central.change("model_packages", new_id(2), is_active=0)
    central.put("model_packages", model(7, write_model(tmp_path / "m", "2.0.0"), central.blobs))
    agent.pass_once()
    assert agent.rows("model_packages", "version, is_active") == [("0.9.0", 0), ("1.0.0", 0), ("2.0.0", 1)]
    [running] = agent.masters.running.pipelines.values()
    assert running.plan.models[0].version == "2.0.0"


def test_an_old_version_nobody_uses_is_not_fetched(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    central.put("model_packages", model(1, write_model(tmp_path / "m", "0.1.0"), central.blobs, is_active=0))
    agent.pass_once()
    assert (agent.cursor(), agent.rows("model_packages")) == (1, [])
    central.change("model_packages", new_id(1), is_active=1)
    agent.pass_once()
    assert agent.one("model_packages", "version, is_active") == ("0.1.0", 1)
