"""One definition of the bytes we hash."""

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.canonical import Scalar, are_canonical, canonical_json, canonical_row, sha256_hex

scalars = st.one_of(
    st.none(),
    st.text(),
    st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
names = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=12)


@given(st.dictionaries(names, scalars))
def test_a_row_has_the_bytes_of_rfc_8785(row: dict[str, str | int | float | None]) -> None:
    try:
        expected = canonical_json(row)
    except rfc8785.CanonicalizationError:  # a lone surrogate has no UTF-8 form
        with pytest.raises((rfc8785.CanonicalizationError, UnicodeEncodeError)):
            canonical_row(row)
        return
    assert canonical_row(row) == expected


def _is_canonical(text: str) -> bool:
    try:
        return canonical_json(orjson.loads(text)) == text.encode()
    except rfc8785.CanonicalizationError:
        return False


NUMBERS = ("0", "-0", "1", "1.0", "1.5", "0.0", "5e-5", "0.00005", "1e3", "1e16", "1E400", "9007199254740993")
TEXTS = (
    st.sampled_from(
        [*(f'{{"a":{number},"b":null}}' for number in NUMBERS), '{"a":"é","b":""}', '{"b":1,"a":1}']
    )
    | st.sampled_from(['{"a":1,"b":"\\u00e9"}', '{"a":1, "b":2}', '{"a":1,"a":1,"b":2}', '{"a":1,"b":[]}'])
    | st.sampled_from([' {"a":1,"b":2}', '{"a":1,"b":2} ', '{"a":1,"b":true}', '{"a":1,"b":"},{"}'])
    | st.fixed_dictionaries(
        {
            "a": st.none() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False),
            "b": st.text('ab,{}:"\\é\n'),
        }
    ).map(lambda row: canonical_row(row).decode())
)


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_rows_are_canonical_together_only_if_each_is(texts: list[str]) -> None:
    try:
        rows: list[dict[str, Scalar]] = [orjson.loads(text) for text in texts]
    except orjson.JSONDecodeError:  # beyond the numbers there are
        return
    if any(list(row) != list(rows[0]) for row in rows):
        return
    if are_canonical(rows, texts):
        assert all(map(_is_canonical, texts))


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.none() | st.integers(0, 99)), max_size=4))
def test_plain_rows_are_seen_to_be_canonical(pairs: list[tuple[str, int | None]]) -> None:
    rows: list[dict[str, Scalar]] = [{"a": text, "b": number, "c": 0.5} for text, number in pairs]
    assert are_canonical(rows, [canonical_row(row).decode() for row in rows])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60])
def test_what_has_no_canonical_form_is_refused(value: float) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_row({"value": value})


def test_the_checksum_is_of_exactly_the_bytes() -> None:
    row: dict[str, str | float] = {"b": 1.0, "a": "é\n"}
    assert canonical_row(row) == '{"a":"é\\n","b":1}'.encode()
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
