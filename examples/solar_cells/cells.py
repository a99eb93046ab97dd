"""The data set: where its photographs lie, what each is called, and how it is divided.

Rules of this file:
- The data set is read in place, from the installed package; nothing of it is written anywhere by this file.
- A division is a function of its seed alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HELD_OUT = 656
"""A quarter of the 2,624 cells: the size of the published test set."""


@dataclass(frozen=True, slots=True)
class Cell:
    """`probability` of a defect as the experts gave it: 0, 1/3, 2/3 or 1; `kind` mono or poly."""

    path: Path
    probability: float
    kind: str

    @property
    def is_defective(self) -> bool:
        """What a person would be asked to decide: 2/3 and 1 are defective, 0 and 1/3 are not."""
        return self.probability > 0.5

    @property
    def is_certain(self) -> bool:
        return self.probability in (0.0, 1.0)


def load_cells() -> list[Cell]:
    """Every cell of the installed `elpv-dataset`, in its own order."""
    package = importlib.util.find_spec("elpv_dataset")
    if package is None or package.origin is None:
        raise SystemExit("elpv-dataset is not installed: start `run.py`, which installs it")
    data = Path(package.origin).parent / "data"
    with (data / "labels.csv").open(encoding="utf-8") as lines:
        rows = [line.split() for line in lines]
    return [Cell(data / path, float(probability), kind) for path, probability, kind in rows]


def divide(cells: Sequence[Cell], seed: int, held_out: int = HELD_OUT) -> tuple[list[int], list[int]]:
    """Indices to train on and indices held out, each label × kind in the same proportion in both."""
    rng = np.random.default_rng(seed)
    strata: dict[tuple[float, str], list[int]] = {}
    for index, cell in enumerate(cells):
        strata.setdefault((cell.probability, cell.kind), []).append(index)
    ranked: list[tuple[float, int]] = []
    for key in sorted(strata):
        members = rng.permutation(strata[key])
        places = (np.arange(len(members)) + rng.random()) / len(members)
        ranked += [(float(place), int(index)) for place, index in zip(places, members, strict=True)]
    ordered = [index for _, index in sorted(ranked)]
    return sorted(ordered[held_out:]), sorted(ordered[:held_out])


def divide_in_blocks(
    cells: Sequence[Cell], seed: int, held_out: int = HELD_OUT, blocks: int = 16
) -> tuple[list[int], list[int]]:
    """As `divide`, but whole runs of neighbours in the data set's order are held out.

    Neighbours mostly come from one module, photographed at once: this is nearer to judging a module never
    seen. Nothing is stratified, so the share of defective cells differs from seed to seed.
    """
    length = held_out // blocks
    chosen = np.random.default_rng(seed).choice(len(cells) // length, blocks, replace=False)
    held = {int(first) * length + step for first in chosen for step in range(length)}
    return [index for index in range(len(cells)) if index not in held], sorted(held)


DIVISIONS = {"random": divide, "blocks": divide_in_blocks}


def picture(path: Path, side_px: int) -> NDArray[np.uint8]:
    """The photograph as the agent shows it to the network: gray, resized by area."""
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise SystemExit(f"{path} is no picture: install elpv-dataset again")
    return np.asarray(cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
