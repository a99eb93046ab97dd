"""A window of the console that is watched: policy, hosts asked, errors thrown, accessibility.

Rules of this file:
- Tests act as people do (keys, taps, texts on the screen); the API is asked only what the screen cannot say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import MODULES

PASSWORD = "demo"
LOT = "L2611A07"
PATIENCE_MS = 60_000
FINGER_MS = 100
"""No finger presses two keys within less; a scanner does."""
WATCH = """
addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
EXPECTED_ERRORS = ("Failed to load resource",)  # an answer that is an error, an agent that is away
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SMALL = """
() => [...document.querySelectorAll('button, a[href], summary, [role=menuitem], input:not([type=file])')]
  .map((one) => [one, (one.closest('.MuiInputBase-root') ?? one).getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.height < 47.5 || box.width < 47.5))
  .map(([one, box]) => `${one.outerHTML.slice(0, 120)} ${box.width} x ${box.height}`)
"""


@contextmanager
def watched_page(browser: Browser, url: str, language: str = "ja", **settings: Any) -> Iterator[Page]:
    """A fresh window at `url`; at the end nothing may have gone wrong that a test did not cause."""
    settings = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **settings}
    context = browser.new_context(base_url=url, locale=language, **settings)
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(WATCH)
    page = context.new_page()
    wrong: list[str] = []
    page.on("request", lambda request: wrong.append(request.url) if is_foreign(request.url, url) else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if is_fault(said.type, said.text) else None)
    try:
        page.goto("/")
        yield page
    finally:
        context.close()
    assert not wrong, "\n".join(wrong)


def is_foreign(asked: str, own: str) -> bool:
    return not asked.startswith((own, "blob:" + own, "data:"))


def is_fault(kind: str, text: str) -> bool:
    return kind in ("error", "warning") and not text.startswith(EXPECTED_ERRORS)


def log_in(page: Page, name: str = "inspector") -> None:
    """From the login page to the start page, with keys only."""
    expect(page.locator("input").first).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("person")).to_be_visible()


@contextmanager
def time_stands(page: Page) -> Iterator[None]:
    """The window's clock goes on only when told to, so that no slow machine comes between two keys."""
    page.clock.install()
    page.clock.pause_at(page.evaluate("() => Date.now()") / 1000 + 1)
    yield
    page.clock.resume()


def scan(page: Page, text: str) -> None:
    """As a scanner types: one key at once after the other."""
    with time_stands(page):
        page.keyboard.type(text)
        page.keyboard.press("Enter")
        page.clock.run_for(FINGER_MS)


def press_each(page: Page, *keys: str) -> None:
    """As a finger does: one key after the other."""
    with time_stands(page):
        for key in keys:
            page.keyboard.press(key)
            page.clock.run_for(FINGER_MS)


def open_as(page: Page, name: str = "inspector", place: str = "/") -> None:
    """Logged in without the login page, at an address of the console."""
    body = {"username": name, "password": PASSWORD, "cookie": True}
    assert page.request.post("/api/v1/auth/login", data=body).ok
    page.goto("about:blank")  # another place in the page that is open would leave that page at work
    page.goto(f"/#{place}")
    expect(page.get_by_test_id("person")).to_be_visible()


def ask_api(page: Page, method: str, path: str, body: Any = None) -> Any:
    """What the agent answers to the person of this window."""
    origin = page.url.split("/#")[0].rstrip("/")
    answer = page.request.fetch(
        f"/api/v1{path}",
        method=method,
        data=body,
        headers={"Accept-Language": "ja"} | ({"Origin": origin} if method != "GET" else {}),
    )
    assert answer.ok, answer.text()
    return answer.json()


def code_of(serial: str, lot: str = LOT) -> str:
    return json.dumps({"product": "DEMO-PLATE", "lot": lot, "serial": serial})


def new_session(page: Page, serial: str, lot: str = LOT) -> str:
    """A session of this plate, started behind the screen's back; its id."""
    return str(ask_api(page, "POST", "/sessions", {"text": code_of(serial, lot)})["session"]["id"])


def item_id(page: Page, session_id: str, item_code: str) -> str:
    items = ask_api(page, "GET", f"/sessions/{session_id}")["items"]
    return str(next(one["item"]["id"] for one in items if one["item"]["item_code"] == item_code))


def open_item(page: Page, serial: str, item_code: str) -> str:
    """The page of an item of a new session; the session's id."""
    session_id = new_session(page, serial)
    page.goto(f"/#/sessions/{session_id}/items/{item_id(page, session_id, item_code)}")
    return session_id


def check_screen(page: Page) -> None:
    """No fault that axe knows (WCAG 2.2 AA), and every target large enough for a glove."""
    page.evaluate(
        "scrollTo(0, 0)"
    )  # what lies under the bar at the top is no target, until it is scrolled out
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate((MODULES / "axe-core" / "axe.min.js").read_text("utf-8"))
    found = page.evaluate(
        "async (rules) => (await axe.run(document, { runOnly: rules })).violations", AXE_RULES
    )
    faults = [f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}" for one in found]
    faults += page.evaluate(SMALL)
    assert not faults, "\n".join(faults)
