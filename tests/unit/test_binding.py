"""A file's product and item come from sidecar, name or settings, in that order, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.capture.binding import Binding, FolderConfig, bind
from edge_agent.errors import BadInput

PATTERN = r"(?P<product>[A-Z]+)_(?P<item>\w+?)_(?P<serial>[^_]+?)(_(?P<lot>L\d+))?\.(jpg|png)"


def folder(**fields: Any) -> FolderConfig:
    return FolderConfig.model_validate({"name": "line-1", "path": "/pictures", **fields})


def refusal(name: str, sidecar: bytes | None, config: FolderConfig) -> str:
    with pytest.raises(BadInput) as caught:
        bind(name, sidecar, config)
    assert caught.value.hint_
    return caught.value.code_


def test_fixed_codes_bind_every_file() -> None:
    assert bind("anything.bin", None, folder(product="P", item="I")) == Binding("P", "I")


def test_the_pattern_reads_the_name() -> None:
    config = folder(pattern=PATTERN)
    assert bind("PLATE_front_0001_L7.jpg", None, config) == Binding("PLATE", "front", "0001", "L7")
    assert bind("PLATE_front_0001.png", None, config) == Binding("PLATE", "front", "0001", None)
    assert refusal("image1.jpg", None, config) == "name-unmatched"


def test_the_sidecar_wins_over_the_name_and_the_name_over_the_settings() -> None:
    config = folder(product="FIXED", item="FIXED", pattern=r"(?P<product>\w+)\.jpg", sidecar=True)
    assert bind("NAMED.jpg", b"{}", config) == Binding("NAMED", "FIXED")
    assert bind("NAMED.jpg", b'{"product":"SIDE","serial":17}', config) == Binding("SIDE", "FIXED", "17")


@pytest.mark.parametrize(
    "sidecar", [b"", b"{", b"[]", b'{"serial":true}', b'{"serial":["x"]}', b"\xff\xfe", b" " * 70_000]
)
def test_a_broken_sidecar_is_refused(sidecar: bytes) -> None:
    assert refusal("a.jpg", sidecar, folder(product="P", item="I", sidecar=True)) == "sidecar-broken"


def test_a_missing_sidecar_and_an_incomplete_one_have_their_own_codes() -> None:
    config = folder(sidecar=True)
    assert refusal("a.jpg", None, config) == "sidecar-missing"
    assert refusal("a.jpg", b'{"product":"P"}', config) == "binding-incomplete"
    assert refusal("a.jpg", b'{"product":"P","item":" "}', config) == "binding-incomplete"


def test_no_code_is_taken_from_a_name_that_is_not_utf8() -> None:
    config = folder(product="P", item="I", pattern=r"(?P<serial>.+)\.jpg")
    assert refusal("AB\udcff1.jpg", None, config) == "name-not-utf8"
    assert bind("AB\udcff1.jpg", None, folder(product="P", item="I")).serial is None


def test_decomposed_and_full_width_names_are_folded() -> None:
    config = folder(item="I", pattern=r"(?P<product>\w+)\.jpg")
    assert bind("カ\u3099ラス.jpg", None, config).product_code == "ガラス"
    assert bind("ＰＬ.jpg", None, config).product_code == "PL"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"product": "P"},
        {"pattern": r"(?P<product>.+)"},
        {"product": "P", "item": "I", "pattern": "("},
        {"product": "P", "item": "I", "pattern": "(?P<colour>.)"},
        {"product": "P", "item": "I", "path": "relative"},
        {"product": "P", "item": "I", "name": "../x"},
        {"product": "P", "item": "I", "accept_ai_ok": True},
        {"product": "P", "item": "I", "recursive": True},
    ],
)
def test_a_folder_that_cannot_bind_is_refused_when_configured(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        folder(**fields)


def test_a_folder_configuration_survives_json() -> None:
    config = folder(pattern=PATTERN, session="auto", accept_ai_ok=True)
    assert FolderConfig.model_validate_json(config.model_dump_json()) == config


@given(st.text(), st.none() | st.binary(max_size=60) | st.dictionaries(st.text(), st.text()).map(json.dumps))
def test_any_name_and_sidecar_bind_or_are_refused(name: str, sidecar: bytes | str | None) -> None:
    config = folder(pattern=r"(?P<product>.)(?P<item>.+)", sidecar=True)
    content = sidecar.encode() if isinstance(sidecar, str) else sidecar
    try:
        binding = bind(name, content, config)
    except BadInput:
        return
    assert binding.product_code.encode()
    assert binding.item_code.encode()
    assert config.path == Path("/pictures")
