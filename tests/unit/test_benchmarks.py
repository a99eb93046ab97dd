"""The benchmarks' folder: one list, and each says what it measures."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, asked

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_list_holds_every_benchmark_and_each_says_what_it_measures() -> None:
    trees = {path.stem: ast.parse(path.read_text("utf-8")) for path in FOLDER.glob("*.py")}
    runs = {
        name
        for name, tree in trees.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body)
    }
    assert runs == set(NAMES)
    for name in NAMES:
        said = ast.get_docstring(trees[name]) or ""
        assert all(word in said for word in ("Measured:", "Goal:", "Limit:")), name


def test_each_benchmark_is_given_its_own_numbers() -> None:
    words = ["fleet", "50", "200", "start", "blobs", "1000"]
    assert list(asked(words)) == [("fleet", [50, 200]), ("start", []), ("blobs", [1000])]


@pytest.mark.parametrize("words", [["fleets"], ["50", "fleet"], ["7"]])
def test_what_there_is_not_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="there are: latency"):
        list(asked(words))
