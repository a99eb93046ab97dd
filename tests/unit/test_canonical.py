"""One definition of the bytes we hash."""

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.canonical import canonical_json, canonical_row, sha256_hex

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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60])
def test_what_has_no_canonical_form_is_refused(value: float) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_row({"value": value})


def test_the_checksum_is_of_exactly_the_bytes() -> None:
    row: dict[str, str | float] = {"b": 1.0, "a": "é\n"}
    assert canonical_row(row) == '{"a":"é\\n","b":1}'.encode()
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
