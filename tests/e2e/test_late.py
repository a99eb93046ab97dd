"""Answers that come late, and keys that come early: neither moves nor overwrites what a person has gone on to."""

from __future__ import annotations

import re

from playwright.sync_api import APIResponse, Page, Route, expect

from tests.e2e.test_picture import RECORDER
from tests.e2e.windows import PASSWORD, ask_api, code_of, new_session, open_as, open_item
from tests.waiting import wait_for

PRESS_WHEN_SEEN = """
() => new MutationObserver((_changes, seen) => {
  if (!document.querySelector('[data-testid=progress]')) return;
  seen.disconnect();
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'n', bubbles: true }));
}).observe(document, { childList: true, subtree: true })
"""
TWO_DAYS_AT_ONCE = """
async () => {
  const write = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  for (const field of document.querySelectorAll('input[type=date]')) {
    write.call(field, '2020-01-01');
    field.dispatchEvent(new Event('input', { bubbles: true }));
    for (let i = 0; i < 1000; i += 1) await null; // what is to be done at once is done, and nothing else
  }
}
"""


class Held:
    """The next answer to the window that the agent gives: on its way until it shall `come`."""

    def __init__(self, page: Page, method: str, path: str) -> None:
        self._page, self._method = page, method
        self._answer: tuple[Route, APIResponse] | None = None
        page.route(f"**/api/v1{path}", self._hold)

    def _hold(self, route: Route) -> None:
        if self._answer is None and route.request.method == self._method:
            self._answer = route, route.fetch()
        else:
            route.continue_()

    def wait(self) -> None:
        """Until the agent has answered."""
        wait_for(lambda: self._page.title() and self._answer)

    def come(self) -> None:
        assert self._answer is not None
        route, answer = self._answer
        route.fulfill(response=answer)


def expect_signal(page: Page, signal: str) -> None:
    """The answer has been dealt with: it was heard, and what comes of it at once has been done."""
    page.wait_for_function("(one) => window.signals.includes(one)", arg=signal)
    page.evaluate("() => new Promise((done) => setTimeout(done))")


def test_who_has_gone_to_a_page_before_it_is_known_who_it_is_gets_that_page(page: Page) -> None:
    expect(page.locator("input[type=password]")).to_be_visible()
    late: dict[str, Route] = {}
    page.route("**/auth/me", lambda route: route.continue_() if "me" in late else late.update(me=route))
    page.route("**/assets/History*.js", lambda route: late.update(history=route))
    page.reload()
    expect(page.locator("input[type=password]")).to_be_visible()
    body = {"username": "inspector", "password": PASSWORD, "cookie": True}
    assert page.request.post("/api/v1/auth/login", data=body).ok
    page.evaluate("() => { location.hash = '/history' }")
    wait_for(lambda: page.title() and len(late) == 2)
    with page.expect_response("**/auth/me"):
        late["me"].continue_()
    expect(page.locator("input[type=password]")).to_have_count(0)
    late["history"].continue_()
    expect(page.get_by_role("heading", name="履歴")).to_be_visible()
    expect(page).to_have_url(re.compile("#/history$"))


def test_a_code_answered_after_one_has_gone_elsewhere_leads_nowhere(page: Page) -> None:
    page.context.add_init_script(RECORDER)
    open_as(page, place="/scan")
    started = Held(page, "POST", "/sessions")
    page.get_by_label("製品コード").fill(code_of("LA1"))
    page.keyboard.press("Enter")
    started.wait()
    page.get_by_role("link", name="履歴").click()
    expect(page.get_by_role("heading", name="履歴")).to_be_visible()
    started.come()
    expect_signal(page, "vibrates 40")
    expect(page).to_have_url(re.compile("#/history$"))


def test_a_verdict_answered_after_one_has_gone_back_is_kept_and_leads_nowhere(page: Page) -> None:
    page.context.add_init_script(RECORDER)
    open_as(page)
    session_id = open_item(page, "LA2", "LED")
    given = Held(page, "POST", "/sessions/*/verifications")
    page.get_by_test_id("yes-led").click()
    page.get_by_test_id("decide-OK").click()
    given.wait()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("progress")).to_be_visible()
    given.come()
    expect_signal(page, "vibrates 60")
    expect(page).to_have_url(re.compile(f"#/sessions/{session_id}$"))
    expect(page.get_by_test_id("progress")).to_contain_text("4 項目中 1 項目")


def test_the_next_code_may_be_typed_while_the_last_one_is_still_asked_about(page: Page) -> None:
    open_as(page, place="/scan")
    refused = Held(page, "POST", "/sessions")
    field = page.get_by_label("製品コード")
    field.fill("WHAT-IS-THIS")
    page.keyboard.press("Enter")
    refused.wait()
    page.keyboard.type("NEXT")
    refused.come()
    expect(page.get_by_role("alert")).to_have_attribute("data-code", "unknown-product")
    page.keyboard.type("-ONE")
    expect(field).to_have_value("NEXT-ONE")


def test_what_was_changed_is_shown_before_it_can_be_changed_again(page: Page) -> None:
    open_as(page, "technician")
    ask_api(page, "PUT", "/cameras/slow", {"source": "rtsp://127.0.0.1:9/one"})
    page.goto("/#/tech/equipment")
    camera = page.get_by_test_id("camera").filter(has_text="slow")
    change = camera.get_by_role("button", name="設定を変更")
    change.click()
    camera.get_by_label("幅").fill("640")
    listed = Held(page, "GET", "/cameras")
    camera.get_by_role("button", name="変更を保存").click()
    listed.wait()
    expect(camera.get_by_label("幅")).to_have_value("640")
    listed.come()
    change.click()
    expect(camera.get_by_label("幅")).to_have_value("640")
    camera.get_by_role("button", name="登録を外す").click()
    page.get_by_role("dialog").get_by_role("button", name="登録を外す").click()
    expect(camera).to_have_count(0)


def test_two_filters_chosen_at_once_both_hold(page: Page) -> None:
    open_as(page, place="/history")
    expect(page.get_by_label("終了日")).to_be_visible()
    page.evaluate(TWO_DAYS_AT_ONCE)
    expect(page).to_have_url(re.compile("since=2020-01-01&until=2020-01-01"))


def test_a_key_pressed_as_soon_as_it_is_shown_counts(page: Page) -> None:
    open_as(page)
    session_id = new_session(page, "LA3")
    page.evaluate(PRESS_WHEN_SEEN)
    page.goto(f"/#/sessions/{session_id}")
    expect(page).to_have_url(re.compile("/items/"))
