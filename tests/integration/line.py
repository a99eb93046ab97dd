"""An inference pool with a pipeline in force, and what a test waits for."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_agent.clock import Clock
from edge_agent.errors import InferenceFailed
from edge_agent.inference.documents import sha256_of
from edge_agent.inference.jobs import Job, PlanRef
from edge_agent.inference.worker import InferencePool
from edge_agent.models import AiResult
from tests import onnx_models as nets
from tests.waiting import WAIT_S

LONG_S = 3600.0
"""What no machine is slow enough to let pass."""
NOW = "2026-11-23T00:00:00.000Z"
CRITERIA = {"type": "VISUAL", "rule": "class", "accept": ["OK"], "conf_min": 0.8}


def pipeline(model: str) -> PlanRef:
    document = {
        "schema": "pipeline/1",
        "code": model,
        "version": "1.0.0",
        "inputs": {"image": "image"},
        "steps": [
            {
                "id": "cls",
                "type": "model.classify",
                "in": {"image": "$in.image"},
                "with": {"model": model, "version": "1.0.0"},
            },
            {"id": "judge", "type": "judge", "in": {"classes": "$cls.classes"}},
            {
                "id": "view",
                "type": "draw.overlay",
                "in": {"image": "$in.image", "verdict": "$judge.verdict"},
            },
        ],
        "outputs": {"verdict": "$judge.verdict", "overlay": "$view.image"},
    }
    return PlanRef(sha256_of(document), json.dumps(document))


class Line:
    """An inspection line: pictures, two models, and a pool."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        nets.package(folder / "bright-1.0.0", nets.brightness_classifier(), nets.CLASSIFIER)
        nets.package(folder / "endless-1.0.0", nets.never_ending(), nets.CLASSIFIER)
        self.models = {(name, "1.0.0"): folder / f"{name}-1.0.0" for name in ("bright", "endless")}
        for name, value in (("bright", 250), ("dark", 5)):
            cv2.imwrite(str(folder / f"{name}.png"), np.full((48, 64, 3), value, np.uint8))
        self.pool = InferencePool(**options)

    def start(self) -> None:
        self.pool.start()
        assert self.pool.configure(self.models, {}).result(WAIT_S) == ()

    def job(self, picture: str = "bright", model: str | None = "bright", **changes: Any) -> Job:
        values: dict[str, Any] = {
            "picture": self.folder / f"{picture}.png",
            "plan": None if model is None else pipeline(model),
            "criteria": CRITERIA,
            "scan": {},
            "calibration": None,
            "now": NOW,
            "deadline_s": WAIT_S,
            "derived": None,
        }
        return Job(**{**values, **changes})

    def verdict(self, *arguments: Any, **changes: Any) -> AiResult:
        result = self.pool.submit(self.job(*arguments, **changes)).result.result(WAIT_S)
        assert result is not None
        return result.overall_result


class Watch:
    """The pool's clock: it goes as any, and can be turned on by `LONG_S`."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.clock = Clock(monotonic=lambda: time.monotonic() + self.ahead_s)

    def turn(self, line: Line) -> None:
        self.ahead_s += LONG_S
        line.pool.request("verify", folder=str(line.models["bright", "1.0.0"]))  # the pool looks at the clock


def failure(future: Future[Any]) -> InferenceFailed:
    error = future.exception(WAIT_S)
    assert isinstance(error, InferenceFailed)
    return error
