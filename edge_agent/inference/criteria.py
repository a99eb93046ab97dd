"""The criteria of an inspection item: what is good, as a document an engineer writes.

Rules of this file:
- Frozen pydantic models, unknown keys refused; `docs/formats.md` shows one of each.
- Thresholds come in pairs; the band between them belongs to a person (REVIEW).
- A contradiction (thresholds crossed, a guard as wide as the tolerance) is a problem at import, not at run.
- A pattern is bounded before it is ever used: `ways_to_match` is the price of the worst text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.documents import pointer_of, problems_of, sha256_of, validated
from edge_agent.inference.steps.parameters import CodeFormat, Fraction, Label

MAX_TEXT = 128
MAX_WAYS = 2**22
_QUANTIFIER = re.compile(r"[*+?]|\{\d*(?:,\d*)?\}")
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?:|.", re.DOTALL)

Area: TypeAlias = Annotated[float, Field(ge=0)]
Millimetres: TypeAlias = Literal["mm", "px", "mm2", "px2"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Band(_Document):
    """A value below `ok_below` is good, from `ng_from` on it is bad, between them a person decides."""

    ok_below: float = Field(ge=0)
    ng_from: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.ok_below > self.ng_from:
            raise ValueError("ok_below must not be greater than ng_from")
        return self


class _Sure(_Document):
    """`conf`: sure from this confidence on; from `review_from` (default: `conf`) a person decides."""

    conf: Fraction
    review_from: Fraction | None = None

    @model_validator(mode="after")
    def _review_below(self) -> Self:
        if self.review_from is not None and self.review_from > self.conf:
            raise ValueError("review_from must not be greater than conf")
        return self

    @property
    def doubt_from(self) -> float:
        return self.conf if self.review_from is None else self.review_from


class Forbidden(_Sure):
    """Objects smaller than `min_area_px` (of the picture the model saw) are tolerated."""

    min_area_px: Area = 0.0


class Required(_Sure):
    """`count`: least and greatest number of such objects."""

    count: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _count_ordered(self) -> Self:
        if self.count[0] > self.count[1]:
            raise ValueError("count must be [least, greatest]")
        return self


class Expectation(_Document):
    """What a text should be: `from` what was scanned, always this `text`, or a `pattern` for all of it."""

    source: Literal["scan.lot", "scan.serial", "scan.product_code", "scan.text"] | None = Field(
        None, alias="from"
    )
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)] | None = None
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.source, self.text, self.pattern)) != 1:
            raise ValueError("expect needs exactly one of from, text, pattern")
        return self

    @field_validator("pattern")
    @classmethod
    def _usable(cls, pattern: str | None) -> str | None:
        if pattern is not None and ways_to_match(pattern) > MAX_WAYS:
            raise ValueError("pattern may take too long: use {n} or {n,m} instead of * and +, fewer ? and |")
        try:
            re.compile(pattern or "")
        except (re.error, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class AnomalyRule(_Document):
    """`max_area_px`: more anomalous pixels than this (heatmap ≥ ng_from, or mask) are NG."""

    type: Literal["VISUAL"]
    rule: Literal["anomaly"]
    score: Band
    max_area_px: Area | None = None


class ObjectsRule(_Document):
    type: Literal["VISUAL"]
    rule: Literal["objects"]
    forbid: dict[Label, Forbidden] = Field(default_factory=dict)
    require: dict[Label, Required] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.forbid and not self.require:
            raise ValueError("forbid and require are both empty: every picture would be OK")
        if both := sorted(self.forbid.keys() & self.require.keys()):
            raise ValueError(f"both forbidden and required: {', '.join(both)}")
        return self


class ClassRule(_Document):
    type: Literal["VISUAL"]
    rule: Literal["class"]
    accept: tuple[Label, ...] = Field(min_length=1)
    conf_min: Fraction


class DifferenceRule(_Document):
    type: Literal["VISUAL"]
    rule: Literal["difference"]
    score: Band


class ColorRule(_Document):
    """`delta_e`: CIEDE2000."""

    type: Literal["VISUAL"]
    rule: Literal["color"]
    delta_e: Band


class RangeRule(_Document):
    """Good from `nominal + tol[0]` to `nominal + tol[1]`; within `guard` of either limit a person decides."""

    type: Literal["DIMENSION"]
    rule: Literal["range"]
    unit: Millimetres
    nominal: float
    tol: tuple[float, float]
    guard: float = Field(0.0, ge=0)
    calibration: Label | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.tol
        if not low <= 0 <= high:
            raise ValueError("tol must be [lower, upper] with lower <= 0 <= upper")
        if self.guard > (high - low) / 2:
            raise ValueError("guard is wider than half the tolerance: nothing could be OK")
        if self.unit.startswith("mm") and self.calibration is None:
            raise ValueError("a size in mm needs the name of a calibration")
        return self


class Check(_Document):
    key: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    label: Label
    expect: bool | str | float


class ChecklistRule(_Document):
    type: Literal["FUNCTION"]
    rule: Literal["checklist"]
    checks: tuple[Check, ...] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({check.key for check in self.checks}) < len(self.checks):
            raise ValueError("a check key is given twice")
        return self


class MatchRule(_Document):
    """Texts are compared after `normalize`; equal only when `confusables` count as one is for a person."""

    type: Literal["TEXT"]
    rule: Literal["match"]
    expect: Expectation
    normalize: tuple[Literal["NFKC", "upper", "nospace", "alnum"], ...] = ()
    confusables: tuple[Annotated[str, StringConstraints(min_length=2, max_length=8)], ...] = Field(
        (), max_length=32
    )
    conf_min: Fraction


class CodeRule(_Document):
    """`formats`: only codes of these symbologies count; all that the pipeline reads when left out."""

    type: Literal["TEXT"]
    rule: Literal["code"]
    expect: Expectation
    formats: tuple[CodeFormat, ...] = ()


Criteria: TypeAlias = (
    AnomalyRule
    | ObjectsRule
    | ClassRule
    | DifferenceRule
    | ColorRule
    | RangeRule
    | ChecklistRule
    | MatchRule
    | CodeRule
)
_ADAPTER: TypeAdapter[Criteria] = TypeAdapter(Annotated[Criteria, Field(discriminator="rule")])


def parse_criteria(
    document: Any, file: str = "", pointer: str = "", inspection_type: str | None = None
) -> Criteria:
    """The criteria in `document`, which must be of the item's `inspection_type` if given.

    Raises BadDefinition with every problem, each at its JSON pointer below `pointer` in `file`.
    """
    problems: list[Problem] = []
    criteria: Criteria | None = None
    try:
        criteria = validated(_ADAPTER, document)
    except ValidationError as error:
        problems = problems_of(error, file, pointer, tagged=True)
    stated = document.get("type") if isinstance(document, dict) else None
    if inspection_type is not None and stated is not None and stated != inspection_type:
        message = f"criteria are of type {stated}, the item is {inspection_type}"
        problems.append(Problem(file, pointer_of(["type"], pointer), "type-mismatch", message))
    if problems or criteria is None:
        raise BadDefinition(f"the criteria have {len(problems)} problem(s)", problems)
    return criteria


class ReadCriteria:
    """One criteria document, read when it is first needed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = dict(document)

    @cached_property
    def criteria(self) -> Criteria:
        """Raises BadDefinition."""
        return parse_criteria(self._document)

    @cached_property
    def sha256(self) -> str | None:
        """Of the canonical form; None for what has none (the judge refuses it)."""
        try:
            return sha256_of(self._document)
        except BadDefinition:
            return None


def ways_to_match(pattern: str) -> int:
    """An upper bound on the ways a backtracking matcher can try on a text of `MAX_TEXT` characters.

    Everything it cannot bound (lookaround, back references, flags, a repeated group) counts as infinite:
    `MAX_WAYS + 1`.
    """
    ways, position, after_group = 1, 0, False
    while position < len(pattern) and ways <= MAX_WAYS:
        if position and (found := _QUANTIFIER.match(pattern, position)):
            repeats = _choices(found.group())
            ways *= MAX_WAYS + 1 if after_group and found.group() != "?" else repeats
            position, after_group = found.end(), False
            continue
        atom = _ATOM.match(pattern, position)
        text = atom.group() if atom else "("
        if re.match(r"\\[1-9gk]", text) or (text == "(" and pattern[position + 1 : position + 2] == "?"):
            return MAX_WAYS + 1
        ways *= 2 if text == "|" else 1
        position, after_group = position + len(text), text == ")"
    return min(ways, MAX_WAYS + 1)


def _choices(quantifier: str) -> int:
    if quantifier == "?":
        return 2
    least, comma, most = quantifier.strip("{}").partition(",")
    if quantifier in "*+" or (comma and not most):
        return MAX_TEXT
    return max(1, int(most or 0) - int(least or 0) + 1) if comma else 1
