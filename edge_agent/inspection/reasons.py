"""The reasons a person may name for NG and HOLD.

Rules of this file:
- A code is stored with the verdict and counted (Pareto), so it outlives its words; the words are for people.
- A plant replaces the whole list in the settings; a verdict may still name a code that is no longer in it.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

KEY = "reasons"
Words = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]


class Reason(BaseModel):
    """One reason: its code and what people call it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    ja: Words
    en: Words


FIRST = (
    Reason(code="scratch", ja="傷", en="Scratch"),
    Reason(code="dent", ja="打痕・凹み", en="Dent"),
    Reason(code="stain", ja="汚れ", en="Stain"),
    Reason(code="missing-part", ja="欠品・欠け", en="Missing part"),
    Reason(code="dimension", ja="寸法不良", en="Wrong size"),
    Reason(code="wrong-marking", ja="表示・印字違い", en="Wrong marking"),
    Reason(code="function", ja="動作不良", en="Does not work"),
    Reason(code="unclear-image", ja="画像が不鮮明", en="Unclear picture"),
    Reason(code="other", ja="その他", en="Other"),
)


class ReasonList(BaseModel):
    """The reasons in the order in which they are offered; codes are unique."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reasons: Annotated[tuple[Reason, ...], Field(min_length=1, max_length=50)] = FIRST

    @model_validator(mode="after")
    def _codes_are_unique(self) -> Self:
        if len({reason.code for reason in self.reasons}) < len(self.reasons):
            raise ValueError("a reason's code is given twice")
        return self
