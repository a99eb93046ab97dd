"""Getting in and around: login, languages, sizes."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.windows import log_in


def test_who_is_not_logged_in_is_asked_to_and_then_sees_the_start(page: Page) -> None:
    expect(page.get_by_role("heading", name="ImageFlowCanvas")).to_be_visible()
    log_in(page)
    expect(page.get_by_role("heading", name="検査", exact=True)).to_be_visible()
    expect(page.get_by_test_id("sync")).to_contain_text("単独運転")


def test_a_wrong_password_says_what_to_do(page: Page) -> None:
    page.locator("input").first.fill("inspector")
    page.locator("input[type=password]").fill("wrong")
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_have_attribute("data-code", "login-failed")
    expect(alert).to_contain_text("パスワード")
