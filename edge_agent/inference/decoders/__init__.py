"""What a network's output tensors mean: one function per decoder, from tensors to a Prediction.

Rules of this file:
- Pure. Every tensor is checked for NaN and infinity here, once, before any decoder sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_agent.inference.decoders.boxes import decode_end_to_end, decode_yolov5, decode_yolov8
from edge_agent.inference.decoders.masks import decode_semantic, decode_yolov8_seg
from edge_agent.inference.decoders.scores import decode_anomalib, decode_anomaly_map, decode_classify
from edge_agent.inference.decoders.tensors import Outputs, check_finite
from edge_agent.inference.manifest import Manifest
from edge_agent.inference.preprocess import Fit
from edge_agent.inference.values import Prediction

DECODE: Mapping[str, Callable[[Outputs, Fit, Manifest], Prediction]] = {
    "classify": decode_classify,
    "yolov5": decode_yolov5,
    "yolov8": decode_yolov8,
    "yolo-end2end": decode_end_to_end,
    "yolov8-seg": decode_yolov8_seg,
    "semantic": decode_semantic,
    "anomalib": decode_anomalib,
    "anomaly-map": decode_anomaly_map,
}


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """The prediction in `outputs` (tensors by name, in the network's order); raises InferenceFailed."""
    for name, values in outputs.items():
        check_finite(name, values)
    return DECODE[manifest.output.decoder](outputs, fit, manifest)
