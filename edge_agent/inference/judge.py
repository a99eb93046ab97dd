"""The verdict: an item's criteria applied to what the pipeline found.

Rules of this file:
- Pure: the same criteria, evidence and context give the same verdict.
- OK has to be earned: evidence that is missing is ERROR, evidence that is doubtful is REVIEW.
- More defect, less certainty or a worse calibration never improves a verdict (the tests search for that).
- Every verdict that is not OK has a reason: a kebab-case code with the facts.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np

from edge_agent.clock import from_rfc3339
from edge_agent.inference.criteria import (
    MAX_TEXT,
    AnomalyRule,
    Band,
    ClassRule,
    CodeRule,
    ColorRule,
    Criteria,
    DifferenceRule,
    Expectation,
    Forbidden,
    MatchRule,
    ObjectsRule,
    RangeRule,
    Required,
)
from edge_agent.inference.plan import needed_inputs
from edge_agent.inference.values import (
    Calibration,
    ClassScore,
    Code,
    Detection,
    Heatmap,
    Mask,
    Quantity,
    RunContext,
    Text,
    Verdict,
)
from edge_agent.models import AiResult

MAX_VARIANTS = 256
_ORDER = (AiResult.OK, AiResult.REVIEW, AiResult.NG, AiResult.ERROR)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What was wired to the judge; None = not wired. `quality` 0–1 as image.quality gives it."""

    classes: tuple[ClassScore, ...] | None = None
    objects: tuple[Detection, ...] | None = None
    score: float | None = None
    heatmap: Heatmap | None = None
    mask: Mask | None = None
    quantity: Quantity | None = None
    text: Text | None = None
    codes: tuple[Code, ...] | None = None
    quality: float | None = None


def judge(criteria: Criteria, evidence: Evidence, context: RunContext, quality_min: float = 1.0) -> Verdict:
    """The verdict on one image. Never OK unless all evidence the criteria need is there and says so."""
    missing = [
        group for group in needed_inputs(criteria) if all(getattr(evidence, name) is None for name in group)
    ]
    if missing:
        return _verdict(
            AiResult.ERROR, 0.0, "missing-evidence", needed=[" or ".join(group) for group in missing]
        )
    verdict = _by_rule(criteria, evidence, context)
    if evidence.quality is not None and evidence.quality < quality_min:
        return _verdict(AiResult.REVIEW, 0.0, "poor-image", quality=evidence.quality, least=quality_min)
    return verdict


def _by_rule(criteria: Criteria, evidence: Evidence, context: RunContext) -> Verdict:
    match criteria, evidence:
        case AnomalyRule(), Evidence(score=float(score)):
            return _worst(_band(criteria.score, score, "score"), _anomalous_area(criteria, evidence))
        case DifferenceRule(), Evidence(score=float(score)):
            return _band(criteria.score, score, "difference")
        case ObjectsRule(), Evidence(objects=tuple(objects)):
            return _objects(criteria, objects)
        case ClassRule(), Evidence(classes=tuple(classes)):
            return _class(criteria, classes)
        case ColorRule(), Evidence(quantity=Quantity() as quantity):
            return _color(criteria, quantity)
        case RangeRule(), Evidence(quantity=Quantity() as quantity):
            return _range(criteria, quantity, context)
        case MatchRule(), Evidence(text=Text() as text):
            return _match(criteria, text, context)
        case CodeRule(), Evidence(codes=tuple(codes)):
            return _code(criteria, codes, context)
    return _verdict(AiResult.ERROR, 0.0, "not-for-ai", rule=criteria.rule)


def _verdict(result: AiResult, confidence: float, code: str = "", /, **facts: Any) -> Verdict:
    return Verdict(result, min(1.0, max(0.0, confidence)), ({"code": code, **facts},) if code else ())


def _worst(*verdicts: Verdict) -> Verdict:
    """The worst result with all reasons; its confidence is that of the surest verdict with that result
    (for OK: of the least sure)."""
    result = max((verdict.result for verdict in verdicts), key=_ORDER.index)
    sure = [verdict.confidence for verdict in verdicts if verdict.result == result]
    confidence = min(sure) if result is AiResult.OK else max(sure)
    return Verdict(result, confidence, tuple(reason for verdict in verdicts for reason in verdict.reasons))


def _certainty(ratio: float) -> float:
    """How sure a limit is kept or broken: 1 far from it, 0.5 at it; `ratio` = value / limit."""
    return 1 - ratio / 2 if ratio <= 1 else 1 - 1 / (2 * ratio)


def _band(band: Band, value: float, name: str) -> Verdict:
    if value < band.ok_below:
        return _verdict(AiResult.OK, _certainty(value / band.ok_below))
    facts = {"value": value, "ok_below": band.ok_below, "ng_from": band.ng_from}
    if value >= band.ng_from:
        certainty = _certainty(value / band.ng_from) if band.ng_from else 1.0
        return _verdict(AiResult.NG, certainty, f"{name}-too-high", **facts)
    return _verdict(AiResult.REVIEW, 0.5, f"{name}-in-doubt", **facts)


def _anomalous_area(criteria: AnomalyRule, evidence: Evidence) -> Verdict:
    limit = criteria.max_area_px
    if limit is None:
        return _verdict(AiResult.OK, 1.0)
    if evidence.mask is not None:
        area = int(np.count_nonzero(evidence.mask))
    else:
        area = int(np.count_nonzero(np.asarray(evidence.heatmap) >= criteria.score.ng_from))
    if area <= limit:
        return _verdict(AiResult.OK, _certainty(area / limit) if limit else 1.0)
    certainty = _certainty(area / limit) if limit else 1.0
    return _verdict(AiResult.NG, certainty, "area-too-large", area_px=area, max_area_px=limit)


def area_px(detection: Detection) -> float:
    """Area of an object's mask, or of its box where it has none, in pixels of the picture the model saw."""
    if detection.mask is not None:
        return float(np.count_nonzero(detection.mask))
    return detection.box_px[2] * detection.box_px[3]


def _objects(criteria: ObjectsRule, objects: tuple[Detection, ...]) -> Verdict:
    by_label = {
        label: [o for o in objects if o.label == label] for label in (*criteria.forbid, *criteria.require)
    }
    forbidden = (_forbidden(label, rule, by_label[label]) for label, rule in criteria.forbid.items())
    required = (_required(label, rule, by_label[label]) for label, rule in criteria.require.items())
    return _worst(*forbidden, *required)


def _forbidden(label: str, rule: Forbidden, objects: list[Detection]) -> Verdict:
    surest = max((o.confidence for o in objects if area_px(o) >= rule.min_area_px), default=0.0)
    facts = {"label": label, "confidence": surest}
    if surest >= rule.conf:
        return _verdict(AiResult.NG, surest, "forbidden-object", **facts)
    if surest >= rule.doubt_from:
        return _verdict(AiResult.REVIEW, surest, "object-in-doubt", **facts)
    return _verdict(AiResult.OK, 1 - surest)


def _required(label: str, rule: Required, objects: list[Detection]) -> Verdict:
    least, most = rule.count
    sure = sum(o.confidence >= rule.conf for o in objects)
    at_most = sum(o.confidence >= rule.doubt_from for o in objects)
    facts = {"label": label, "count": sure, "count_in_doubt": at_most - sure, "least": least, "most": most}
    if sure > most or at_most < least:
        return _verdict(AiResult.NG, 1.0, "wrong-count", **facts)
    if sure < least or at_most > most:
        return _verdict(AiResult.REVIEW, 0.5, "count-in-doubt", **facts)
    return _verdict(
        AiResult.OK, min((o.confidence for o in objects if o.confidence >= rule.conf), default=1.0)
    )


def _class(criteria: ClassRule, classes: tuple[ClassScore, ...]) -> Verdict:
    if not classes:
        return _verdict(AiResult.ERROR, 0.0, "missing-evidence", needed=["classes"])
    best = max(classes, key=lambda found: found.confidence)
    facts = {"label": best.label, "confidence": best.confidence}
    if best.confidence < criteria.conf_min:
        return _verdict(AiResult.REVIEW, best.confidence, "class-in-doubt", **facts)
    if best.label not in criteria.accept:
        return _verdict(AiResult.NG, best.confidence, "class-not-accepted", **facts)
    return _verdict(AiResult.OK, best.confidence)


def _color(criteria: ColorRule, quantity: Quantity) -> Verdict:
    if quantity.unit != "dE":
        return _verdict(AiResult.ERROR, 0.0, "wrong-unit", unit=quantity.unit, needed="dE")
    return _band(criteria.delta_e, quantity.value, "color-difference")


def _range(criteria: RangeRule, quantity: Quantity, context: RunContext) -> Verdict:
    facts = {
        "value": quantity.value,
        "unit": quantity.unit,
        "nominal": criteria.nominal,
        "tol": list(criteria.tol),
    }
    if doubt := _calibration_doubt(criteria, context):
        return _verdict(AiResult.REVIEW, 0.0, doubt, calibration=criteria.calibration, **facts)
    if quantity.unit != criteria.unit:
        return _verdict(AiResult.ERROR, 0.0, "wrong-unit", needed=criteria.unit, **facts)
    deviation = round(quantity.value - criteria.nominal, 9)  # 12.05 - 12.0 must not exceed 0.05
    limit = criteria.tol[1] if deviation >= 0 else -criteria.tol[0]
    ratio = abs(deviation) / limit if limit else float(deviation != 0) * 2
    if abs(deviation) > limit:
        return _verdict(AiResult.NG, _certainty(ratio), "out-of-tolerance", **facts)
    if abs(deviation) > round(limit - criteria.guard, 9):
        return _verdict(AiResult.REVIEW, 0.5, "within-guard", guard=criteria.guard, **facts)
    return _verdict(AiResult.OK, _certainty(ratio))


def _calibration_doubt(criteria: RangeRule, context: RunContext) -> str:
    """Why the calibration cannot be relied on; "" if it can, or none is named."""
    calibration = context.calibration
    if criteria.calibration is None:
        return ""
    if calibration is None or calibration.name != criteria.calibration:
        return "calibration-missing"
    return "calibration-expired" if expired(calibration, context.now) else ""


def expired(calibration: Calibration, now: str) -> bool:
    """Whether it is no longer valid at `now` (RFC 3339); an unreadable instant counts as expired."""
    try:
        return from_rfc3339(now) > from_rfc3339(calibration.valid_until)
    except ValueError:
        return True


def _match(criteria: MatchRule, text: Text, context: RunContext) -> Verdict:
    read = normalize(text.text, criteria.normalize)
    facts = {"read": text.text[:MAX_TEXT], "confidence": text.confidence}
    if not read or len(read) > MAX_TEXT:
        return _verdict(AiResult.REVIEW, 0.0, "text-unreadable", **facts)
    expected = _expected(criteria.expect, context)
    if expected is None:
        return _verdict(AiResult.REVIEW, 0.0, "nothing-expected", source=criteria.expect.source, **facts)
    facts["expected"] = expected
    if text.confidence < criteria.conf_min:
        return _verdict(AiResult.REVIEW, text.confidence, "text-in-doubt", **facts)
    if _agrees(criteria, expected, read):
        return _verdict(AiResult.OK, text.confidence)
    if _agrees_confused(criteria, expected, read):
        return _verdict(AiResult.REVIEW, text.confidence, "text-confusable", **facts)
    return _verdict(AiResult.NG, text.confidence, "text-differs", **facts)


def normalize(text: str, steps: tuple[str, ...]) -> str:
    """`text` after NFKC, upper, nospace, alnum (letters and digits only), in the order given."""
    for step in steps:
        if step == "NFKC":
            text = unicodedata.normalize("NFKC", text)
        elif step == "upper":
            text = text.upper()
        else:
            text = "".join(c for c in text if (c.isalnum() if step == "alnum" else not c.isspace()))
    return text


def _expected(expect: Expectation, context: RunContext) -> str | None:
    """The text or pattern expected; None if it should have been scanned and was not."""
    if expect.source is None:
        return expect.text or expect.pattern
    return context.scan.get(expect.source.removeprefix("scan.")) or None


def _agrees(criteria: MatchRule, expected: str, read: str) -> bool:
    if criteria.expect.pattern is not None:
        return re.fullmatch(criteria.expect.pattern, read) is not None
    return normalize(expected, criteria.normalize) == read


def _agrees_confused(criteria: MatchRule, expected: str, read: str) -> bool:
    """Whether it agrees when characters that look alike count as one."""
    if criteria.expect.pattern is not None:
        return any(_agrees(criteria, expected, variant) for variant in _variants(read, criteria.confusables))
    wanted = normalize(expected, criteria.normalize)
    return _fold(wanted, criteria.confusables) == _fold(read, criteria.confusables)


def _fold(text: str, confusables: tuple[str, ...]) -> str:
    """Each character replaced by the least of those it can be confused with, through any chain of groups."""
    return "".join(min(_alike(character, confusables)) for character in text)


def _alike(character: str, confusables: tuple[str, ...]) -> set[str]:
    alike = {character}
    for _ in confusables:
        alike |= {other for group in confusables if alike & set(group) for other in group}
    return alike


def _variants(text: str, confusables: tuple[str, ...]) -> list[str]:
    """Up to `MAX_VARIANTS` texts this one could be a misreading of."""
    choices = (sorted(_alike(character, confusables)) for character in text)
    return ["".join(letters) for letters in islice(product(*choices), MAX_VARIANTS)]


def _code(criteria: CodeRule, codes: tuple[Code, ...], context: RunContext) -> Verdict:
    counted = [code for code in codes if not criteria.formats or code.format in criteria.formats]
    if not counted:
        others = [code.format for code in codes]
        return _verdict(AiResult.REVIEW, 0.0, "code-unreadable", formats=list(criteria.formats), found=others)
    expected = _expected(criteria.expect, context)
    if expected is None:
        return _verdict(AiResult.REVIEW, 0.0, "nothing-expected", source=criteria.expect.source)
    if any(_code_agrees(criteria.expect, expected, code.text) for code in counted):
        return _verdict(AiResult.OK, 1.0)
    read = [code.text[:MAX_TEXT] for code in counted]
    return _verdict(AiResult.NG, 1.0, "code-differs", expected=expected, read=read)


def _code_agrees(expect: Expectation, expected: str, read: str) -> bool:
    if expect.pattern is None:
        return read == expected
    return len(read) <= MAX_TEXT and re.fullmatch(expect.pattern, read) is not None
