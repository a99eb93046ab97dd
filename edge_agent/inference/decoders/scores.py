"""Decoders of whole-picture answers: classes, and anomaly score with its map.

Rules of this file:
- Pure; see `decoders.decode` for what was checked before.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_agent.inference.decoders.tensors import Array, Outputs, activate, check_probabilities, wrong_shape
from edge_agent.inference.manifest import Manifest
from edge_agent.inference.preprocess import Fit, map_to_given
from edge_agent.inference.values import ClassScore, Prediction


def decode_classify(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """One row of logits or probabilities; a label output beside it (scikit-learn) is left aside."""
    classes = manifest.output.classes
    rows = [values for values in outputs.values() if values.dtype.kind == "f" and values.size == len(classes)]
    if not rows:
        raise wrong_shape(outputs, f"one output of {len(classes)} probabilities")
    scores = activate(rows[-1].reshape(-1), manifest.output.activation)
    check_probabilities(scores)
    scores = np.clip(scores, 0, 1)
    order = np.argsort(-scores, kind="stable")
    return Prediction(classes=tuple(ClassScore(classes[i], float(scores[i])) for i in order))


def decode_anomalib(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """anomalib ≥ 2: `pred_score` and `anomaly_map`, both normalised so that 0.5 is the threshold."""
    score, heat = outputs.get("pred_score"), outputs.get("anomaly_map")
    if score is None or score.size != 1 or heat is None:
        raise wrong_shape(outputs, "pred_score of one value and anomaly_map")
    return _anomaly(float(score.reshape(-1)[0]), heat, fit, manifest)


def decode_anomaly_map(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """One map, `[1,1,H,W]` or `[1,H,W]`; the score is its highest value."""
    heat = activate(next(iter(outputs.values())), manifest.output.activation)
    return _anomaly(float(heat.max()), heat, fit, manifest)


def _anomaly(score: float, heat: Array, fit: Fit, manifest: Manifest) -> Prediction:
    """Scaled so that `thresholds.score` becomes 0.5, clipped to 0–1."""
    if heat.size != heat.shape[-1] * (heat.shape[-2] if heat.ndim > 1 else 0):
        raise wrong_shape({"anomaly_map": heat}, "one map [1,1,H,W]")
    gain = 0.5 / manifest.thresholds.score
    scaled = np.clip(heat.reshape(heat.shape[-2:]).astype(np.float32) * np.float32(gain), 0, 1)
    heatmap = map_to_given(scaled, fit, cv2.INTER_LINEAR).astype(np.float32, copy=False)
    return Prediction(score=min(1.0, max(0.0, score * gain)), heatmap=heatmap)
