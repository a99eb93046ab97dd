"""Whole inspections: with keys only, with taps only, from files, in blind mode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.program import Daemon, daemon
from tests.e2e.conftest import PLATE, furnish
from tests.e2e.windows import (
    ask_api,
    check_screen,
    code_of,
    log_in,
    new_session,
    open_as,
    open_item,
    press_each,
    scan,
    watched_page,
)

TABLET: dict[str, Any] = {"viewport": {"width": 820, "height": 1180}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def tablet(browser: Browser, agent: Daemon) -> Iterator[Page]:
    with watched_page(browser, agent.url, **TABLET) as opened:
        yield opened


def test_with_keys_only(page: Page) -> None:
    log_in(page)
    scan(page, code_of("K1"))
    expect(page.get_by_test_id("progress")).to_contain_text("4 項目中 0 項目")
    page.keyboard.press("n")
    for item in ("表面", "穴径", "ロット番号"):
        expect(page.get_by_role("heading", level=1)).to_contain_text(item)
        expect(page.get_by_test_id("quality")).to_have_attribute("data-fault", "")
        page.keyboard.press("Space")
        expect(page.get_by_test_id("ai-verdict")).to_contain_text("合格")
        page.keyboard.press("1")
    expect(page.get_by_role("heading", level=1)).to_contain_text("表示灯")
    press_each(page, "1", "Space", "1")  # OK is not taken before the list is answered
    expect(page.get_by_test_id("progress")).to_contain_text("4 項目中 4 項目")
    page.keyboard.press("c")
    expect(page.get_by_test_id("outcome")).to_have_attribute("data-result", "OK")
    scan(page, code_of("K2"))
    expect(page.get_by_test_id("progress")).to_contain_text("4 項目中 0 項目")


def test_with_taps_only_and_every_screen_is_accessible(tablet: Page) -> None:
    page = tablet
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    check_screen(page)
    log_in(page)
    check_screen(page)
    page.get_by_role("link", name="スキャンして検査を始める").tap()
    page.get_by_label("製品コード").fill(code_of("T1"))
    check_screen(page)
    page.get_by_role("button", name="開始").tap()
    page.get_by_role("button", name="次の項目").tap()
    expect(page.get_by_test_id("quality")).to_be_visible()
    check_screen(page)
    shoot_and_give(page, "OK")
    shoot(page)
    check_screen(page)
    page.get_by_test_id("decide-NG").tap()
    page.locator("[data-reason=dimension]").tap()
    page.get_by_role("button", name="AI の検出枠を使う").tap()
    expect(page.get_by_test_id("mark")).to_be_visible()
    page.get_by_label("メモ").fill("穴が大きい")
    check_screen(page)
    page.get_by_test_id("give").tap()
    shoot_and_give(page, "OK")
    check_screen(page)
    page.get_by_test_id("yes-led").tap()
    page.get_by_test_id("decide-OK").tap()
    check_screen(page)
    page.get_by_role("button", name="検査を完了する").tap()
    expect(page.get_by_test_id("outcome")).to_have_attribute("data-result", "NG")
    check_screen(page)
    session_id = page.url.rsplit("/", 1)[1]
    given = ask_api(page, "GET", f"/sessions/{session_id}/verifications")["verifications"]
    wrong = next(one for one in given if one["final_result"] == "NG")
    assert (wrong["reason_code"], wrong["notes"]) == ("dimension", "穴が大きい")
    assert wrong["saw_ai"]
    assert wrong["region"][2] == pytest.approx(121, abs=5)
    assert 0 < wrong["verification_time"] < 60


def shoot(page: Page) -> None:
    expect(page.get_by_test_id("quality")).to_have_attribute("data-fault", "")
    page.get_by_test_id("shutter").tap()
    expect(page.get_by_test_id("ai-verdict")).to_be_visible()


def shoot_and_give(page: Page, result: str) -> None:
    shoot(page)
    page.get_by_test_id(f"decide-{result}").tap()


def choose_file(page: Page, path: Path) -> None:
    page.get_by_role("button", name="画像ファイル").click()
    page.locator("input[type=file]").set_input_files(path)


def test_a_file_can_be_chosen_and_a_blurred_one_is_asked_about(page: Page, blurred: Path) -> None:
    open_as(page)
    open_item(page, "F1", "SURFACE")
    choose_file(page, blurred)
    expect(page.get_by_test_id("doubt")).to_contain_text("ピント")
    page.get_by_role("button", name="このまま使う").click()
    expect(page.get_by_test_id("ai-verdict")).to_be_visible()
    page.keyboard.press("r")
    choose_file(page, PLATE)
    expect(page.get_by_test_id("ai-verdict")).to_contain_text("合格")


def test_a_defect_is_marked_by_dragging_on_the_enlarged_picture(page: Page) -> None:
    open_as(page)
    session_id = open_item(page, "M1", "SURFACE")
    choose_file(page, PLATE)
    expect(page.get_by_test_id("ai-verdict")).to_be_visible()
    page.keyboard.press("+")
    page.get_by_test_id("decide-HOLD").click()
    page.get_by_role("button", name="不良箇所を囲む").click()
    box = page.get_by_test_id("picture").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    page.mouse.up()
    expect(page.locator("[data-reason]")).to_have_count(9)  # before they are there, no key chooses one
    page.keyboard.press("9")
    page.get_by_test_id("give").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("穴径")
    [given] = ask_api(page, "GET", f"/sessions/{session_id}/verifications")["verifications"]
    left = (0.25 + 0.25) / 1.5  # enlarged 1.5 times about the middle: the frame's left edge shows 1/6
    assert given["region"] == pytest.approx([left * 640, left * 480, 640 / 6, 480 / 6], abs=4)


def test_a_scan_while_judging_judges_nothing(page: Page) -> None:
    open_as(page)
    session_id = open_item(page, "S1", "SURFACE")
    choose_file(page, PLATE)
    expect(page.get_by_test_id("ai-verdict")).to_be_visible()
    page.get_by_test_id("decide-OK").focus()
    scan(page, "1234567890")
    page.keyboard.press("r")  # a key by itself still counts, so the scan was over and done with
    expect(page.get_by_role("button", name="戻る")).to_be_visible()
    assert ask_api(page, "GET", f"/sessions/{session_id}/verifications")["verifications"] == []


def test_what_one_window_records_another_shows(page: Page) -> None:
    open_as(page)
    session_id = new_session(page, "W1")
    page.goto(f"/#/sessions/{session_id}")
    other = page.context.new_page()
    other.goto(f"/#/sessions/{session_id}")
    expect(other.get_by_test_id("progress")).to_contain_text("0 項目")
    page.get_by_role("button", name="表示灯").click()
    page.get_by_test_id("no-led").click()
    page.get_by_test_id("decide-NG").click()
    page.locator("[data-reason=function]").click()
    page.get_by_test_id("give").click()
    expect(other.get_by_test_id("progress")).to_contain_text("1 項目を")
    page.close()  # the window that followed the agent's events; the other takes over
    item = ask_api(other, "GET", f"/sessions/{session_id}")["items"][0]["item"]["id"]
    verdict = {"final_result": "HOLD", "item_id": item, "reason_code": "other"}
    ask_api(other, "POST", f"/sessions/{session_id}/verifications", verdict)
    expect(other.get_by_test_id("progress")).to_contain_text("2 項目を")


def test_in_blind_mode_the_eye_judges_first(
    browser: Browser, bench: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AGENT_BLIND_MODE", "true")
    with daemon(tmp_path / "data") as blind:
        furnish(tmp_path / "data", bench)
        with watched_page(browser, blind.url) as page:
            open_as(page)
            session_id = open_item(page, "B1", "SURFACE")
            choose_file(page, PLATE)
            expect(page.get_by_test_id("blind")).to_be_visible()
            expect(page.get_by_test_id("ai-verdict")).to_have_count(0)
            page.keyboard.press("1")
            expect(page.get_by_role("heading", level=1)).to_contain_text("穴径")
            page.goto(f"/#/sessions/{session_id}")
            expect(page.get_by_role("listitem").first).to_contain_text("AI 合格")
            [given] = ask_api(page, "GET", f"/sessions/{session_id}/verifications")["verifications"]
            assert not given["saw_ai"]


def test_a_code_is_read_by_a_camera(page: Page) -> None:
    open_as(page, place="/scan")
    page.get_by_role("button", name="カメラで読み取る").click()
    expect(page.get_by_test_id("progress")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("DEMO-PLATE · L2611A07 · P0001")


def test_the_device_s_own_camera_takes_the_picture(page: Page) -> None:
    open_as(page)
    session_id = open_item(page, "D1", "SURFACE")
    page.get_by_role("button", name="この端末のカメラ").click()
    expect(page.get_by_test_id("quality")).to_have_attribute("data-fault", "")
    page.get_by_test_id("shutter").click()
    expect(page.get_by_test_id("ai-verdict")).to_be_visible()
    [image] = ask_api(page, "GET", f"/sessions/{session_id}")["items"][0]["images"]
    assert (image["mime_type"], image["source"]) == ("image/jpeg", "camera")
    assert image["origin"].startswith("fake_device")
    page.reload()
    expect(page.get_by_test_id("ai-verdict")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_role("button", name="この端末のカメラ")).to_have_attribute("aria-pressed", "true")
