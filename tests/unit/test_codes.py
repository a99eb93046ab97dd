"""Codes are read from clean, turned, noisy and photographed labels; their text arrives unchanged."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import zxingcpp
from numpy.typing import NDArray

from edge_agent.errors import BadImage, BadInput
from edge_agent.inference.codes import FORMATS, read_codes

CONTENTS = {
    "QRCode": '{"product_code":"PLATE-01","lot":"L26","serial":"0001"}',
    "MicroQRCode": "PLATE-01",
    "DataMatrix": "PLATE-01/L26/0001",
    "Code128": "PLATE-01-0001",
    "Code39": "PLATE-01",
    "EAN13": "4006381333931",
    "EAN8": "96385074",
    "UPCA": "036000291452",
    "UPCE": "01234565",
}
AS_EAN = {"UPCA": ("EAN13", "0036000291452"), "UPCE": ("UPCE", "0012345000065")}


def label(format_name: str, text: str | None = None, scale: int = 4) -> NDArray[np.uint8]:
    barcode = zxingcpp.create_barcode(
        text or CONTENTS[format_name], getattr(zxingcpp.BarcodeFormat, format_name)
    )
    return np.array(zxingcpp.write_barcode_to_image(barcode, scale=scale), np.uint8)


def on_a_plate(code: NDArray[np.uint8], at: tuple[int, int] = (90, 60)) -> NDArray[np.uint8]:
    plate = np.full((480, 640, 3), 190, np.uint8)
    height, width = code.shape
    plate[at[1] : at[1] + height, at[0] : at[0] + width] = code[:, :, None]
    return plate


@pytest.mark.parametrize("format_name", FORMATS)
def test_each_format_is_read_by_its_name(format_name: str) -> None:
    codes = read_codes(label(format_name))
    expected = AS_EAN.get(format_name, (format_name, CONTENTS[format_name]))
    assert [(code.format, code.text) for code in codes] == [expected]


def test_a_gray_a_colour_and_an_encoded_picture_read_alike() -> None:
    gray = label("DataMatrix")
    colour = np.dstack([gray] * 3)
    file = cv2.imencode(".png", colour)[1].tobytes()
    assert read_codes(gray) == read_codes(colour) == read_codes(file) != ()


def test_the_box_lies_on_the_code() -> None:
    (code,) = read_codes(on_a_plate(label("QRCode", scale=3)))
    x, y, width, height = code.box_px
    assert 90 <= x <= 110
    assert 60 <= y <= 80
    assert 60 < width == pytest.approx(height, abs=2)


@pytest.mark.parametrize("angle", [0, 17, 90, 135, 180])
def test_turned_and_noisy_codes_are_read(angle: int) -> None:
    plate = on_a_plate(label("QRCode", scale=4), at=(200, 140))
    turn = cv2.getRotationMatrix2D((320, 240), angle, 1.0)
    turned = cv2.warpAffine(plate, turn, (640, 480), borderValue=(190, 190, 190)).astype(np.int16)
    noise = np.random.default_rng(angle).normal(0, 8, turned.shape)
    noisy = np.clip(turned + noise, 0, 255).astype(np.uint8)
    assert [code.text for code in read_codes(noisy)] == [CONTENTS["QRCode"]]


def test_several_codes_come_top_to_bottom() -> None:
    plate = on_a_plate(label("QRCode", "second", scale=4), at=(40, 300))
    first = label("Code128", "first", scale=2)
    plate[20 : 20 + first.shape[0], 40 : 40 + first.shape[1]] = first[:, :, None]
    assert [code.text for code in read_codes(plate)] == ["first", "second"]


def test_only_the_formats_asked_for_are_read() -> None:
    assert read_codes(label("DataMatrix"), formats=["QRCode"]) == ()
    with pytest.raises(BadInput) as caught:
        read_codes(label("QRCode"), formats=["QRCode", "PDF417", "Aztec"])
    assert caught.value.code_ == "unknown-code-format"
    assert "Aztec, PDF417" in caught.value.detail


def test_japanese_text_and_gs1_separators_arrive_unchanged() -> None:
    assert read_codes(label("QRCode", "製品-01"))[0].text == "製品-01"
    assert read_codes(label("Code128", "A\x1dB"))[0].text == "A\x1dB"


def test_no_code_is_an_answer_and_no_picture_an_error() -> None:
    assert read_codes(np.full((200, 200), 127, np.uint8)) == ()
    assert read_codes(np.zeros((1, 1, 3), np.uint8)) == ()
    with pytest.raises(BadImage):
        read_codes(b"no picture")


def test_opencv_reads_the_qr_code_when_zxing_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zxingcpp, "read_barcodes", lambda *_, **__: [])
    (code,) = read_codes(label("QRCode", "PLATE-01", scale=6))
    assert (code.format, code.text) == ("QRCode", "PLATE-01")
    assert read_codes(label("QRCode", "PLATE-01"), formats=["DataMatrix"]) == ()
