"""The step that applies the item's criteria to what was found.

Rules of this file:
- Thin: the rules are in `inference.judge`; criteria that cannot be read are a failure, never OK.
"""

from __future__ import annotations

from typing import Any

from edge_agent.inference.judge import Evidence, judge
from edge_agent.inference.steps import parameters as p
from edge_agent.inference.steps.base import Environment, Located, Outputs


def verdict(with_: p.Judging, env: Environment, **found: Any) -> Outputs:
    """The verdict on what is wired; raises BadDefinition for criteria that are none."""
    plain = {name: part.value if isinstance(part, Located) else part for name, part in found.items()}
    return {"verdict": judge(env.criteria.criteria, Evidence(**plain), env.context, with_.quality_min)}
