"""When things go wrong: nobody is left without a way on, and nothing recorded is lost."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from edge_agent.listening import held_ports
from tests.acceptance.program import daemon
from tests.e2e.conftest import PLATE, furnish
from tests.e2e.windows import ask_api, code_of, log_in, open_as, open_item, watched_page


def test_an_unknown_code_says_what_to_do_and_the_next_scan_counts(page: Page) -> None:
    open_as(page, place="/scan")
    page.get_by_label("製品コード").fill("WHAT-IS-THIS")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_attribute("data-code", "unknown-product")
    page.keyboard.type(code_of("E1"))  # what was typed before is selected, so this replaces it
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("progress")).to_be_visible()


def test_a_file_that_is_no_picture_is_refused_and_another_taken(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(PLATE.read_bytes()[:2000])
    open_as(page)
    open_item(page, "E2", "SURFACE")
    page.get_by_role("button", name="画像ファイル").click()
    page.locator("input[type=file]").set_input_files(broken)
    expect(page.get_by_role("alert")).to_contain_text("画像")
    page.locator("input[type=file]").set_input_files(PLATE)
    expect(page.get_by_test_id("ai-verdict")).to_be_visible()


def test_a_session_ended_elsewhere_says_so_and_leads_on(page: Page) -> None:
    open_as(page)
    session_id = open_item(page, "E3", "LED")
    page.get_by_test_id("yes-led").click()
    ask_api(page, "POST", f"/sessions/{session_id}/cancel", {"reason": "別の端末"})
    expect(page.get_by_test_id("closed")).to_contain_text("中止")
    page.get_by_role("link", name="次の製品").click()
    expect(page.get_by_label("製品コード")).to_be_focused()


def test_an_item_that_is_not_there_leads_back(page: Page) -> None:
    open_as(page)
    session_id = open_item(page, "E4", "LED")
    page.goto(f"/#/sessions/{session_id}/items/none")
    page.get_by_role("link", name="項目一覧").click()
    expect(page.get_by_test_id("progress")).to_be_visible()
    page.goto("/#/nowhere")
    page.get_by_role("link", name="ホーム").last.click()
    expect(page.get_by_role("heading", name="検査", exact=True)).to_be_visible()


def test_an_ended_login_asks_again_and_comes_back(page: Page) -> None:
    open_as(page, place="/scan")
    page.context.clear_cookies()
    page.get_by_label("製品コード").fill(code_of("E5"))
    page.keyboard.press("Enter")
    expect(page.locator("input[type=password]")).to_be_visible()
    log_in(page)
    expect(page.get_by_label("製品コード")).to_be_visible()


def test_the_agent_goes_and_comes_back(browser: Browser, bench: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with held_ports(1) as ports, daemon(data_dir, "--port", port := str(ports[0])) as agent:
        furnish(data_dir, bench)
        with watched_page(browser, agent.url) as page:
            open_as(page)
            session_id = open_item(page, "O1", "LED")
            page.get_by_test_id("yes-led").click()
            agent.terminate()
            expect(page.get_by_test_id("away")).to_be_visible()
            page.get_by_test_id("decide-OK").click()
            expect(page.get_by_role("alert")).to_have_attribute("data-code", "agent-unreachable")
            with daemon(data_dir, "--port", port):
                expect(page.get_by_test_id("away")).to_have_count(0)
                page.get_by_test_id("decide-OK").click()
                expect(page.get_by_role("heading", level=1)).to_contain_text("表面")
                given = ask_api(page, "GET", f"/sessions/{session_id}/verifications")["verifications"]
                assert [one["final_result"] for one in given] == ["OK"]
