"""Whatever a scanner sends becomes a Scan, or a refusal that shows what was read."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.errors import BadInput
from edge_agent.inspection.scan import Scan, ScanMapping, clean, parse_scan


def refusal(text: str, mapping: ScanMapping | None = None) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse_scan(text, mapping)
    return caught.value


def test_a_plain_code_is_its_own_product_code() -> None:
    assert parse_scan("PLATE-01\r\n") == Scan("PLATE-01", "PLATE-01")


def test_full_width_and_invisible_characters_are_folded() -> None:
    assert parse_scan("\x02\ufeffＰＬＡＴＥ－０１\u200b\x03 ").product_code == "PLATE-01"


def test_a_json_object_is_read_by_its_keys() -> None:
    text = '{"product_code": "PLATE-01", "lot": "Ｌ26", "serial": 17, "other": [1]}'
    scan = parse_scan(text)
    assert (scan.product_code, scan.lot, scan.serial) == ("PLATE-01", "L26", "17")


def test_json_keys_are_configuration() -> None:
    mapping = ScanMapping(json_product_code=("品番",), json_lot=("ロット",))
    scan = parse_scan('{"品番":"P","ロット":"L","serial_number":"S"}', mapping)
    assert (scan.product_code, scan.lot, scan.serial) == ("P", "L", "S")


def test_json_typed_through_an_input_method_is_still_json() -> None:
    assert parse_scan("｛＂product＂：＂P1＂｝").product_code == "P1"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "scan-empty"),
        (" \t\r\n\x00", "scan-empty"),
        ("{not json", "scan-not-json"),
        ('{"a":' * 150, "scan-not-json"),
        ('{"lot": "L1"}', "scan-incomplete"),
        ('{"product_code": null}', "scan-incomplete"),
        ('{"product_code": true}', "scan-incomplete"),
        ('{"product_code": ["P"]}', "scan-incomplete"),
        ('{"product_code": "  "}', "scan-incomplete"),
        ("x" * 1025, "scan-too-long"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_code(text: str, code: str) -> None:
    error = refusal(text)
    assert error.code_ == code
    assert error.hint_


def test_a_refusal_shows_what_was_read() -> None:
    error = refusal('{"lot": "L1"}')
    assert error.context["read"] == '{"lot": "L1"}'
    assert "L1" in error.detail


def test_delimited_text_follows_the_configured_order() -> None:
    mapping = ScanMapping(delimiter="|", field_order=("lot", "ignore", "product_code", "serial"))
    scan = parse_scan("L1| x | P1 |S1", mapping)
    assert (scan.product_code, scan.lot, scan.serial) == ("P1", "L1", "S1")
    assert parse_scan("P9", mapping).product_code == "P9"


def test_missing_trailing_fields_are_none_and_surplus_ones_are_refused() -> None:
    mapping = ScanMapping(delimiter=",")
    assert parse_scan("P1,L1", mapping) == Scan("P1,L1", "P1", "L1", None)
    assert parse_scan("P1,,S1", mapping) == Scan("P1,,S1", "P1", None, "S1")
    assert refusal("P1,L1,S1,more", mapping).code_ == "scan-incomplete"
    assert refusal(",L1", mapping).code_ == "scan-incomplete"


def test_a_control_character_can_be_the_delimiter() -> None:
    scan = parse_scan("P1\x1dL1\x1dS1\r", ScanMapping(delimiter="\x1d"))
    assert (scan.product_code, scan.lot, scan.serial) == ("P1", "L1", "S1")


def test_a_pattern_picks_its_groups_and_else_the_code_is_plain() -> None:
    mapping = ScanMapping(pattern=r"(?P<product_code>[A-Z]+)(?P<lot>\d{4})(?:-(?P<serial>\d+))?")
    assert parse_scan("AB2611-7", mapping) == Scan("AB2611-7", "AB", "2611", "7")
    assert parse_scan("AB2611", mapping).serial is None
    assert parse_scan("something else", mapping).product_code == "something else"


@pytest.mark.parametrize(
    "fields",
    [
        {"pattern": "("},
        {"pattern": "(?P<lot>x)"},
        {"pattern": "(?P<product_code>x)(?P<colour>y)"},
        {"field_order": ["lot", "serial"]},
        {"field_order": ["product_code", "lot", "lot"]},
        {"delimiter": ""},
        {"unknown": 1},
    ],
)
def test_a_wrong_mapping_is_refused_before_any_scan(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ScanMapping.model_validate(fields)


MAPPINGS = [
    ScanMapping(),
    ScanMapping(delimiter=";"),
    ScanMapping(pattern=r"(?P<product_code>\w+)/(?P<lot>\w*)"),
]


@given(st.one_of(st.text(), st.text(alphabet='{}[]",:;/ab1\x00\ud800\u200b')), st.sampled_from(MAPPINGS))
def test_any_text_is_a_scan_or_a_refusal(text: str, mapping: ScanMapping) -> None:
    try:
        scan = parse_scan(text, mapping)
    except BadInput as refused:
        refused.detail.encode()
        return
    assert scan.product_code
    scan.text.encode()


@given(st.dictionaries(st.sampled_from(["product_code", "lot", "serial", "x"]), st.text(max_size=30)))
def test_json_values_come_back_cleaned(document: dict[str, str]) -> None:
    text = json.dumps(document)
    if not clean(document.get("product_code", "")):
        assert refusal(text).code_ == "scan-incomplete"
        return
    scan = parse_scan(text)
    assert scan.product_code == clean(document["product_code"])
    assert scan.lot == (clean(document.get("lot", "")) or None)


@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFKC", cleaned)
