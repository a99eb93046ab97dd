"""Pictures drawn for tests, and a bench to run single steps on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edge_agent.errors import InferenceFailed
from edge_agent.inference.criteria import ReadCriteria
from edge_agent.inference.steps.base import Environment, TextReader
from edge_agent.inference.steps.catalogue import STEP_TYPES
from edge_agent.inference.steps.registry import IMPLEMENTATIONS
from edge_agent.inference.values import Calibration, Frame, Model, Pixels, Prediction, RunContext

NOW = "2026-11-23T00:00:00.000Z"
CALIBRATION = Calibration("cam1", 50.0, "2026-12-31T00:00:00.000Z")


@dataclass(frozen=True)
class Answering:
    """A model package that gives one prepared answer."""

    prediction: Prediction
    task: str = "detect"
    name: str = "m"
    version: str = "1"
    sha256: str = "e" * 64
    raises: Exception | None = None

    def predict(self, pixels: Pixels) -> Prediction:
        if self.raises is not None:
            raise self.raises
        return self.prediction


def context(criteria: Mapping[str, Any] | None = None, calibration: Calibration | None = None) -> RunContext:
    return RunContext(criteria or {}, {"lot": "L1", "product_code": "P-1"}, calibration, NOW)


def no_reader() -> TextReader:
    raise InferenceFailed("no text reader in this test")


def bench(
    *, models: tuple[Model, ...] = (), assets: Mapping[str, Pixels] | None = None, calibrated: bool = False
) -> Environment:
    known = {(model.name, model.version): model for model in models}
    given = dict(assets or {})
    where = context(calibration=CALIBRATION if calibrated else None)
    return Environment(where, ReadCriteria(where.criteria), known, given.__getitem__, no_reader)


def step(
    kind: str, with_: Mapping[str, Any] | None = None, env: Environment | None = None, **inputs: Any
) -> Any:
    """The outputs of one step, run through its signature: parameters parsed, output names checked."""
    signature = STEP_TYPES[kind]
    outputs = IMPLEMENTATIONS[kind](signature.parse(dict(with_ or {})), env or bench(), **inputs)
    assert outputs.keys() == signature.outputs.keys()
    return outputs


def plain(width: int = 320, height: int = 240, bgr: tuple[int, int, int] = (90, 90, 90)) -> Pixels:
    return np.full((height, width, 3), bgr, np.uint8)


def textured(width: int = 320, height: int = 240, seed: int = 1) -> Pixels:
    """Smooth random blobs: something to align by."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def disc(centre: tuple[float, float], radius: float, size: tuple[int, int] = (320, 240), inside: int = 40,
         outside: int = 200) -> Pixels:  # fmt: skip
    """A disc with edges one pixel soft, as a lens would show it."""
    ys, xs = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float64)
    share = np.clip(radius - np.hypot(xs - centre[0], ys - centre[1]) + 0.5, 0, 1)
    gray = np.rint(outside + (inside - outside) * share).astype(np.uint8)
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def frame(pixels: Pixels) -> Frame:
    return Frame(pixels)
