"""With a central server and without it: what the screen says of the synchronisation, and that work goes on."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from edge_agent.cli.demo_central import Centre, central_folder
from edge_agent.listening import held_ports
from tests.acceptance.program import daemon
from tests.e2e.conftest import furnish
from tests.e2e.test_pages import judged_item
from tests.e2e.windows import ask_api, check_screen, open_as, open_item, watched_page

LONG_MS = 120_000  # a server that starts, and the pauses between attempts


def carry_out(page: Page, button: str) -> None:
    """Starts a piece of work by hand and waits until it has ended well."""
    page.get_by_role("button", name=button, exact=True).click()
    job = page.get_by_test_id("job").filter(has_text="完了")
    expect(job).to_have_attribute("data-phase", "done", timeout=LONG_MS)
    page.reload()


def expect_sync(page: Page, text: str) -> None:
    expect(page.get_by_test_id("sync")).to_contain_text(text, timeout=LONG_MS)


def test_work_goes_on_without_the_server_and_catches_up_with_it(
    browser: Browser, bench: str, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    with (
        central_folder(tmp_path / "central") as folder,
        held_ports(1) as ports,
        daemon(data_dir) as agent,
        watched_page(browser, agent.url) as page,
    ):
        furnish(data_dir, bench)
        centre = Centre(folder, ports[0])
        open_as(page, "technician")
        judged_item(page, "CE1")
        expect_sync(page, "単独運転")
        with centre.running():
            centre.import_masters()
            ask_api(page, "POST", "/sync/enroll", {"server": centre.url, "code": centre.device_code()})
            expect_sync(page, "送信済み")
            page.goto("/#/tech")
            expect(page.get_by_text(centre.url)).to_be_visible()
            for button in ("今すぐ同期", "サーバーと照合", "修復の事前確認"):
                carry_out(page, button)
            check_screen(page)
        session_id = open_item(page, "CE2", "LED")
        page.get_by_test_id("yes-led").click()
        page.get_by_test_id("decide-OK").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("表面")
        assert ask_api(page, "GET", f"/sessions/{session_id}/verifications")["verifications"] != []
        expect_sync(page, "オフライン")
        page.goto("/#/tech")
        expect(page.get_by_role("table", name="同期の経路")).to_contain_text(
            "中央サーバーに接続できません", timeout=LONG_MS
        )
        check_screen(page)
        with centre.running():
            carry_out(page, "今すぐ同期")
            expect_sync(page, "送信済み")
