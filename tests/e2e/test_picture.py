"""What is seen, heard and felt around a picture: its quality, what the AI found in it, and the signals."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, expect

from edge_agent.demo import IMAGES
from tests.e2e.test_pages import judged_item
from tests.e2e.windows import check_screen, open_as, open_item

NG_HOLE = IMAGES / "P0007_L2611R03_HOLE.jpg"
RECORDER = """
window.signals = [];
navigator.vibrate = (pattern) => { window.signals.push(`vibrates ${pattern}`); return true; };
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...when) {
  window.signals.push(`sounds ${this.frequency.value}`);
  return start.apply(this, when);
};
"""


def test_what_the_ai_found_is_laid_over_the_picture_and_enlarged(page: Page) -> None:
    open_as(page)
    session_id, item = judged_item(page, "PV1", "HOLE", NG_HOLE)
    page.goto(f"/#/sessions/{session_id}/items/{item}")
    expect(page.get_by_test_id("ai-verdict")).to_contain_text("不合格")
    expect(page.get_by_test_id("measured")).to_contain_text("mm")
    picture = page.get_by_test_id("picture").locator("img")
    overlay = page.get_by_role("button", name="検出結果")
    expect(overlay).to_have_attribute("aria-pressed", "true")
    expect(picture).to_have_attribute("src", re.compile("^data:"))
    page.keyboard.press("l")
    expect(overlay).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="写真").click()
    expect(picture).to_have_attribute("src", re.compile("/original$"))
    for title, shown in (("判定基準", "基準値"), ("処理時間", " ms")):
        page.get_by_text(title, exact=True).click()
        expect(page.locator("details[open]").filter(has_text=title)).to_contain_text(shown)
    moved = page.get_by_test_id("picture").locator("> div")
    page.get_by_role("button", name="拡大").click()
    expect(moved).to_have_attribute("style", re.compile(r"scale\(1\.5\)"))
    drag(page, 60, 40)
    expect(moved).not_to_have_attribute("style", re.compile(r"translate\(-25%, -25%\)"))
    page.get_by_role("button", name="全体").click()
    expect(moved).to_have_attribute("style", re.compile(r"translate\(0%, 0%\) scale\(1\)"))
    check_screen(page)


def drag(page: Page, right_px: int, down_px: int) -> None:
    box = page.get_by_test_id("picture").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right_px, y + down_px)
    page.mouse.up()


def test_a_picture_that_is_too_dark_or_too_bright_is_asked_about(page: Page, tmp_path: Path) -> None:
    open_as(page)
    open_item(page, "EX1", "SURFACE")
    page.get_by_role("button", name="画像ファイル").click()
    pixels = cv2.imread(str(NG_HOLE))
    assert pixels is not None
    for name, gain, offset, said in (("dark", 0.1, 0, "暗すぎ"), ("bright", 0.1, 230, "明るすぎ")):
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), (pixels * gain + offset).astype(np.uint8))
        page.locator("input[type=file]").set_input_files(path)
        expect(page.get_by_test_id("doubt")).to_contain_text(said)
        page.get_by_role("button", name="撮り直す").click()
        expect(page.get_by_test_id("doubt")).to_have_count(0)


def test_a_verdict_is_heard_and_felt_unless_that_is_not_wanted(page: Page) -> None:
    page.context.add_init_script(RECORDER)
    open_as(page)
    open_item(page, "SD1", "LED")
    page.get_by_test_id("yes-led").click()
    page.get_by_test_id("decide-OK").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("表面")
    assert page.evaluate("window.signals") == ["vibrates 60", "sounds 880", "sounds 1320"]
    page.get_by_test_id("person").click()
    page.get_by_role("menuitem", name="音と振動を止める").click()
    open_item(page, "SD2", "LED")
    page.get_by_test_id("yes-led").click()
    page.get_by_test_id("decide-OK").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("表面")
    assert len(page.evaluate("window.signals")) == 3
