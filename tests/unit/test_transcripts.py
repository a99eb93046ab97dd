"""Transcripts are compared strictly where it matters and loosely where it must be."""

from __future__ import annotations

import pytest

from tests.documentation.transcripts import Step, agrees, transcripts


def test_a_block_is_taken_apart() -> None:
    text = "```console\n$ a b\none\ntwo\n$ c\n```\n```sh\n$ not this\n```\n"
    assert list(transcripts(text)) == [[Step("a b", ("one", "two")), Step("c", ())]]


def test_a_block_that_begins_with_output_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a command"):
        list(transcripts("```console\noops\n$ a\n```\n"))


@pytest.mark.parametrize(
    ("expected", "printed", "is_true"),
    [
        (["P1  OK  0.98  1.6"], ["P1   OK 0.91  15.2"], True),
        (["P1  OK  0.98"], ["P1  NG  0.98"], False),
        (["P1  OK"], ["P2  OK"], False),
        (["into …/demo"], ["into /tmp/x/demo"], True),
        (["first", "…"], ["first", "second", "third"], True),
        (["first", "…", "last"], ["first", "last"], True),
        (["first"], ["first", "second"], False),
        (["first", "second"], ["first"], False),
        ([" ─────"], ["──── "], True),
    ],
)
def test_numbers_may_differ_words_may_not(expected: list[str], printed: list[str], is_true: bool) -> None:
    assert agrees(expected, printed) is is_true
