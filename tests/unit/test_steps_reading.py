"""Reading codes and text, with the real libraries."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest
import zxingcpp

from edge_agent.errors import InferenceFailed
from edge_agent.inference.steps.base import TextReader
from edge_agent.inference.steps.reading import load_text_reader
from edge_agent.inference.values import Pixels, Text
from tests.unit.drawn import bench, frame, plain, step


def with_code(kind: str, text: str, at: tuple[int, int] = (40, 30)) -> Pixels:
    code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
    symbol: Any = np.asarray(zxingcpp.write_barcode_to_image(code, scale=3))
    pixels = plain(640, 480, (255, 255, 255))
    pixels[at[1] : at[1] + symbol.shape[0], at[0] : at[0] + symbol.shape[1]] = symbol[..., None]
    return pixels


@pytest.mark.parametrize(
    ("kind", "text"),
    [("QRCode", "P-1;LOT 7"), ("MicroQRCode", "12345"), ("DataMatrix", "品番-9"), ("Code128", "ABC-123"),
     ("Code39", "ABC123"), ("EAN13", "4901234567894"), ("EAN8", "49123456")],
)  # fmt: skip
def test_every_kind_of_code_is_read(kind: str, text: str) -> None:
    (code,) = step("code.read", {}, image=frame(with_code(kind, text)))["codes"].value
    assert (code.format, code.text) == (kind, text)
    assert 20 <= code.box_px[0] <= 100
    assert code.box_px[2] > 10


def test_only_the_formats_asked_for_are_read() -> None:
    assert (
        step("code.read", {"formats": ["EAN13"]}, image=frame(with_code("QRCode", "x")))["codes"].value == ()
    )


def test_codes_come_from_top_to_bottom_and_lead_back_to_the_photograph() -> None:
    both = np.minimum(with_code("QRCode", "low", (300, 300)), with_code("QRCode", "high", (40, 30)))
    found = step("code.read", {}, image=frame(np.asarray(both, np.uint8)))["codes"]
    assert [code.text for code in found.value] == ["high", "low"]
    assert np.array_equal(found.to_original, np.eye(3))


def test_a_turned_code_is_read_when_trying_harder() -> None:
    turned = np.ascontiguousarray(np.rot90(with_code("Code128", "ABC-123")))
    assert step("code.read", {"try_harder": True}, image=frame(turned))["codes"].value[0].text == "ABC-123"


def line(*texts: str) -> Pixels:
    pixels = plain(360, 60 * len(texts), (255, 255, 255))
    for row, text in enumerate(texts):
        place = (12, 42 + 60 * row)
        cv2.putText(pixels, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 2, cv2.LINE_AA)
    return pixels


def no_network(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("the reader tried to reach the network")


def test_print_is_read_offline_silently_and_the_same_every_time(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One test, because loading the reader costs seconds."""
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    reader = load_text_reader()
    env = replace(bench(), text_reader=lambda: reader)

    def read(pixels: Pixels, find_lines: bool = False) -> Text:
        found: Text = step("text.read", {"find_lines": find_lines}, env, image=frame(pixels))["text"]
        return found

    first = read(line("LOT B80-1234"))
    assert first.text == "LOT B80-1234"
    assert first.confidence > 0.8
    assert read(line("LOT B80-1234")) == first
    assert read(line("LOT B80-1234")[..., 0].copy()).text == first.text
    assert read(line("FIRST 12", "SECOND 34"), find_lines=True).text == "FIRST 12\nSECOND 34"
    for find_lines in (True, False):
        assert read(plain(360, 60, (255, 255, 255)), find_lines) == Text("", 0.0)
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    load: Callable[[], TextReader] = load_text_reader
    with pytest.raises(InferenceFailed) as caught:
        load()
    assert caught.value.code_ == "ocr-missing"
    assert "`ocr` extra" in caught.value.hint_
