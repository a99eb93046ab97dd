"""What the ONNX file itself says of its task, input and output, for a manifest that leaves it out.

Rules of this file:
- Pure. Order of trust: the manifest, then the exporter's metadata, then the graph's own shapes
  (with a warning), else nothing: the missing field is then reported, never guessed.
- Metadata are Python literals written by the exporter: parsed as literals within bounds, never evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.inference.onnx_header import Header, Port

MAX_LITERAL_CHARS = 200_000
ANOMALIB_OUTPUTS = frozenset({"pred_score", "anomaly_map"})
ANOMALIB_SIZE_PX = (256, 256)
MASK_COEFFICIENTS = 32
ULTRALYTICS_TASKS = {"detect": "detect", "classify": "classify", "segment": "segment"}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hints:
    """A partial manifest document, the source it came from, and what a person should know about it."""

    document: Document
    source: str
    warnings: tuple[str, ...] = ()


def read_hints(header: Header, document: Mapping[str, Any]) -> Hints:
    """What `header` adds to the manifest `document` (which is only asked for its task and layout)."""
    names = _class_names(header.metadata.get("names"))
    if names and ("stride" in header.metadata or "imgsz" in header.metadata):
        return _from_ultralytics(header, names)
    if {port.name for port in header.outputs} >= ANOMALIB_OUTPUTS:
        return _from_anomalib(header)
    return _from_shapes(header, document)


def complete(document: Mapping[str, Any], hints: Mapping[str, Any]) -> Document:
    """`document` with the fields of `hints` it lacks, at every depth; what it says itself stays."""
    result = dict(hints) | dict(document)
    for key in hints.keys() & document.keys():
        if isinstance(hints[key], Mapping) and isinstance(document[key], Mapping):
            result[key] = complete(document[key], hints[key])
    return result


def literal(text: str | None) -> Any:
    """The Python literal in `text`, None when it is too long or not a literal."""
    if text is None or len(text) > MAX_LITERAL_CHARS:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _class_names(text: str | None) -> tuple[str, ...]:
    names = literal(text)
    if isinstance(names, dict) and all(isinstance(key, int) for key in names):
        if sorted(names) != list(range(len(names))):
            return ()
        names = [names[index] for index in range(len(names))]
    if isinstance(names, list | tuple) and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    return ()


def _from_ultralytics(header: Header, names: tuple[str, ...]) -> Hints:
    """YOLOv5 repositories write `names` and `stride` only; Ultralytics ≥ 8 also `task` and `imgsz`."""
    said = header.metadata.get("task")
    task = ULTRALYTICS_TASKS.get(said or "detect")
    if task is None:
        warning = f"the Ultralytics task {said!r} is not one we run (detect, classify, segment)"
        return Hints({}, "metadata", (warning,))
    decoder, box_nms = _ultralytics_decoder(header, task, len(names), said is not None)
    output: Document = {"decoder": decoder, "activation": "none", "classes": list(names)}
    if box_nms is not None:
        output["nms"] = {"iou": box_nms, "conf": 0.25, "max": 300}
    grayscale = literal(header.metadata.get("channels")) == 1
    entry = _input_of(header, _ultralytics_size(header)) | {
        "colour": "GRAY" if grayscale else "RGB",
        "resize": "center-crop" if task == "classify" else "letterbox",
        "interpolation": "linear",
        "pad_value": 114,
    }
    return Hints({"task": task, "input": entry, "output": output}, "metadata")


def _ultralytics_decoder(
    header: Header, task: str, classes: int, says_task: bool
) -> tuple[str, float | None]:
    """The decoder and the overlap limit (None: the network has settled overlaps itself)."""
    if task == "classify":
        return "classify", None
    if task == "segment":
        return "yolov8-seg", 0.7
    shape = (header.outputs[0].shape or ()) if header.outputs else ()
    rows, columns = (*shape, None, None, None)[1:3]
    if columns == 6 and (says_task or classes != 1):
        return "yolo-end2end", None
    if rows != 4 + classes and columns == 5 + classes:
        return "yolov5", 0.45
    return "yolov8", 0.7


def _ultralytics_size(header: Header) -> tuple[int, int] | None:
    size = literal(header.metadata.get("imgsz"))
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return size[1], size[0]
    return None


def _from_anomalib(header: Header) -> Hints:
    """anomalib ≥ 2 keeps resizing, normalisation and its threshold inside the graph and says nothing more."""
    entry = _input_of(header, None)
    warnings = ["recognised as anomalib by its outputs; it carries no metadata"]
    if "size_px" not in entry:
        entry["size_px"] = list(ANOMALIB_SIZE_PX)
        warnings.append("the network takes any size: 256×256 is assumed, write input.size_px to change it")
    output = {"decoder": "anomalib", "activation": "none"}
    document = {"task": "anomaly", "input": entry | {"colour": "RGB", "resize": "stretch"}, "output": output}
    return Hints(document, "shapes", tuple(warnings))


def _from_shapes(header: Header, document: Mapping[str, Any]) -> Hints:
    written = document.get("input")
    layout = written.get("layout", "") if isinstance(written, Mapping) else ""
    entry = _input_of(header, None, layout)
    task = document.get("task") or _task_of(header.outputs)
    found: Document = {"input": entry, "output": {}}
    warnings: tuple[str, ...] = ()
    if task == "classify":
        found |= {"task": "classify", "output": {"decoder": "classify"}}
        if "task" not in document:
            warnings = ("taken for a classifier by its output shapes",)
    elif task == "anomaly":
        found["output"] = {"decoder": "anomaly-map"}
    return Hints(found, "shapes", warnings)


def _task_of(outputs: tuple[Port, ...]) -> str | None:
    ranks = [len(port.shape) for port in outputs if port.shape is not None and port.dtype == "float32"]
    labelled = len(outputs) == 2 and outputs[0].dtype in ("int64", "string")
    return "classify" if ranks == [2] and (len(outputs) == 1 or labelled) else None


def _input_of(header: Header, size_px: tuple[int, int] | None, layout: str = "") -> Document:
    """Name, layout, element type, colour and size of the picture input, as far as the graph says them."""
    if len(header.inputs) != 1:
        return {}
    port = header.inputs[0]
    entry: Document = {"name": port.name}
    if port.dtype in ("float32", "uint8"):
        entry["dtype"] = port.dtype
    shape = port.shape or ()
    if len(shape) == 4:
        entry["layout"] = layout or ("NHWC" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "NCHW")
        channels, height, width = _channels_and_size(shape, entry["layout"])
        if channels == 1:
            entry["colour"] = "GRAY"
        size_px = size_px or ((width, height) if width and height else None)
    if size_px:
        entry["size_px"] = list(size_px)
    return entry


def _channels_and_size(shape: tuple[int | None, ...], layout: str) -> tuple[int | None, ...]:
    return (shape[1], shape[2], shape[3]) if layout == "NCHW" else (shape[3], shape[1], shape[2])
