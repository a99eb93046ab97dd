"""Steps that read: codes with zxing-cpp, printed text with RapidOCR.

Rules of this file:
- Nothing read is an answer (the judge says REVIEW); only a missing or broken reader is a failure.
- RapidOCR is an optional extra, loaded only when first used, from its own files, never from the network.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edge_agent.inference.codes import find_codes
from edge_agent.inference.steps import parameters as p
from edge_agent.inference.steps.base import Environment, Located, Outputs, TextReader, failed, to_bgr
from edge_agent.inference.values import Frame, Pixels, Text

_NO_EXTRA = "Install the agent with its `ocr` extra on this machine, then inspect the image again."


def codes(with_: p.CodeReading, env: Environment, *, image: Frame) -> Outputs:
    """All codes read, from top to bottom; boxes in the picture's pixels."""
    found = find_codes(image.pixels, with_.formats, try_harder=with_.try_harder)
    return {"codes": Located(found, image.to_original)}


def text(with_: p.TextReading, env: Environment, *, image: Frame) -> Outputs:
    """The lines joined by a newline, with the confidence of the worst; empty and 0 when nothing is read."""
    lines = env.text_reader()(to_bgr(image.pixels), with_.find_lines)
    joined = "\n".join(line.text for line in lines)
    return {"text": Text(joined, min((line.confidence for line in lines), default=0.0))}


def load_text_reader() -> TextReader:
    """A RapidOCR reader with the models of its own package, one thread each.

    Takes about a second; keep it (the caller owns it). Raises InferenceFailed when the extra is missing.
    """
    logging.getLogger("RapidOCR").disabled = True  # it logs to stderr on import
    try:
        import rapidocr
    except ImportError:
        detail = "this pipeline reads text, and RapidOCR is not installed"
        raise failed("ocr-missing", detail, _NO_EXTRA) from None
    folder = Path(rapidocr.__file__).parent / "models"
    engine = rapidocr.RapidOCR(params=_settings(folder))

    def read(pixels: Pixels, find_lines: bool) -> tuple[Text, ...]:
        answer: Any = engine(pixels, use_det=find_lines, use_cls=False, use_rec=True)
        texts, scores = answer.txts or (), answer.scores or ()
        order = range(len(texts)) if not find_lines else _top_to_bottom(answer.boxes)
        return tuple(Text(str(texts[i]), float(scores[i])) for i in order if texts[i])

    return read


def _settings(folder: Path) -> dict[str, Any]:
    """Explicit model files: without them RapidOCR would look for newer ones on the network."""
    files = {"Det": "*_det_*.onnx", "Rec": "*_rec_*.onnx", "Cls": "*_cls_*.onnx"}
    found = {part: sorted(folder.glob(pattern)) for part, pattern in files.items()}
    if missing := [part for part, paths in found.items() if not paths]:
        raise failed("ocr-missing", f"RapidOCR has no model files for {', '.join(missing)}", _NO_EXTRA)
    return {
        "Global.log_level": "critical",
        "Global.text_score": 0.0,
        "Det.limit_type": "max",  # reduce large pictures; by default it enlarges small ones, at seconds each
        "Det.limit_side_len": 1280,
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        **{f"{part}.model_path": str(paths[0]) for part, paths in found.items()},
    }


def _top_to_bottom(boxes: Any) -> list[int]:
    """Reading order: a box whose middle lies within the line of the one before continues that line."""
    if boxes is None:
        return []
    spans = [(float(b[:, 1].min()), float(b[:, 1].max()), float(b[:, 0].min())) for b in boxes]
    by_height = sorted(range(len(spans)), key=lambda i: spans[i][0] + spans[i][1])
    lines: list[list[int]] = []
    for index in by_height:
        top, bottom, _ = spans[index]
        last = spans[lines[-1][0]] if lines else None
        if last is not None and last[0] <= (top + bottom) / 2 <= last[1]:
            lines[-1].append(index)
        else:
            lines.append([index])
    return [index for line in lines for index in sorted(line, key=lambda i: spans[i][2])]
