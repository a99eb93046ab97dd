"""Lists stay true while they are looked at, in every window, and nothing loaded is loaded again."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, Response, expect

from edge_agent.demo import IMAGES
from tests.e2e.conftest import PLATE
from tests.e2e.test_pages import judged_item
from tests.e2e.windows import ask_api, new_session, open_as


def open_following(page: Page) -> None:
    """Logged in, with the stream of events open; what is read again because of that has been asked for."""
    open_as(page)
    wanted = ["/", "/api/v1/events", "/api/v1/auth/me"]  # the page, its stream, who this is once more

    def is_last(response: Response) -> bool:
        if wanted and response.url.endswith(wanted[0]):
            del wanted[0]
        return not wanted

    with page.expect_response(is_last):
        page.reload()


def test_the_history_is_true_in_every_window_without_being_read_again(page: Page) -> None:
    open_following(page)  # this window follows the stream and tells the other
    session_id = new_session(page, "LV1")
    other = page.context.new_page()
    read: list[str] = []
    for window in (page, other):
        window.goto("/#/history")
        expect(window.get_by_role("listitem").filter(has_text="LV1")).to_contain_text("準備中")
    for window in (page, other):
        window.on("request", lambda request: read.append(request.url))
    new_session(page, "LV2")
    ask_api(page, "POST", f"/sessions/{session_id}/cancel", {"reason": "test"})
    for window in (page, other):
        expect(window.get_by_role("listitem").first).to_contain_text("LV2")
        expect(window.get_by_role("listitem").filter(has_text="LV1")).to_contain_text("中止")
    assert [url for url in read if "limit=100" in url] == []
    other.goto("/#/history?status=CANCELLED")
    listed = other.get_by_role("listitem")
    expect(listed.filter(has_text="LV1")).to_have_count(1)
    second = new_session(page, "LV3")
    ask_api(page, "POST", f"/sessions/{second}/cancel", {"reason": "test"})
    expect(listed.filter(has_text="LV3")).to_have_count(1)
    expect(listed.filter(has_text="LV2")).to_have_count(0)
    other.close()


def test_the_queue_is_counted_and_shown_as_it_grows(page: Page) -> None:
    open_as(page, "technician", "/tech")
    chip, table = page.get_by_test_id("sync"), page.get_by_role("table", name="未送信")
    for serial in ("LV5", "LV6"):
        new_session(page, serial)
        lanes = ask_api(page, "GET", "/sync/status")["lanes"]
        expect(chip).to_contain_text(f"{sum(lane['waiting'] for lane in lanes):,} 件")
        for lane in lanes:
            expect(table.get_by_role("row").filter(has_text=f"{lane['waiting']:,}").first).to_be_visible()


def test_what_waits_for_a_person_comes_and_goes_by_itself(page: Page) -> None:
    open_following(page)
    page.goto("/#/reviews")
    expect(page.get_by_role("heading", name="要確認")).to_be_visible()
    session_id, item = judged_item(page, "LV4", "HOLE", IMAGES / "P0007_L2611R03_HOLE.jpg")
    row = page.get_by_role("listitem").filter(has_text="LV4")
    expect(row).to_have_count(1)
    ask_api(page, "POST", f"/sessions/{session_id}/verifications", {"final_result": "HOLD", "item_id": item})
    expect(row).to_have_count(0)


def test_a_file_set_aside_is_seen_at_once_and_so_is_the_finding(page: Page, tmp_path: Path) -> None:
    open_as(page, "technician")
    folder = {
        "path": str(tmp_path),
        "product": "DEMO-PLATE",
        "item": "SURFACE",
        "settle_s": 0,
        "give_up_s": 0,
    }
    ask_api(page, "PUT", "/folders/live", folder)
    page.goto("/#/tech/equipment")
    folder_shown = page.get_by_test_id("folder").filter(has_text=str(tmp_path))
    expect(folder_shown).to_be_visible()
    health = page.context.new_page()
    health.goto("/#/tech/health")
    expect(health.get_by_role("heading", name="健全性")).to_be_visible()
    (tmp_path / "torn.jpg").write_bytes(PLATE.read_bytes()[:2000])
    torn = page.get_by_test_id("quarantined").filter(has_text="torn.jpg")
    expect(torn).to_be_visible()
    expect(health.locator("[data-code=quarantine-not-empty]")).to_be_visible()
    torn.get_by_role("button", name="削除").click()
    page.get_by_role("dialog").get_by_role("button", name="削除").click()
    expect(torn).to_have_count(0)
    expect(health.locator("[data-code=quarantine-not-empty]")).to_have_count(0)
    folder_shown.get_by_role("button", name="登録を外す").click()
    page.get_by_role("dialog").get_by_role("button", name="登録を外す").click()
    expect(folder_shown).to_have_count(0)
    health.close()
