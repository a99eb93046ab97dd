"""docs/steps.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.inference.docs import main, page
from edge_agent.inference.steps.catalogue import STEP_TYPES

CHECKED_IN = Path(__file__).parents[2] / "docs" / "steps.md"


def test_the_page_checked_in_is_that_of_the_code() -> None:
    assert CHECKED_IN.read_text("utf-8") == page(), "run: python -m edge_agent.inference.docs docs/steps.md"


def test_every_parameter_is_described() -> None:
    text = page()
    for step in STEP_TYPES.values():
        for variant in step.variants:
            for name, field in variant.model_fields.items():
                assert name == "method" or field.description, f"{step.name}: {name}"
                assert f"| `{name}` |" in text or name == "method"


def test_the_page_is_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    main([str(tmp_path / "steps.md")])
    assert capsys.readouterr().out == (tmp_path / "steps.md").read_text("utf-8") == page()
