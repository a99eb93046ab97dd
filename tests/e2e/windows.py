"""A window of the console that is watched: policy, hosts asked, errors thrown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, expect

PASSWORD = "demo"
WATCH = """
addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
EXPECTED_ERRORS = ("Failed to load resource", "net::ERR")  # an answer that is an error, an agent that is away


@contextmanager
def watched_page(browser: Browser, url: str, language: str = "ja", **settings: Any) -> Iterator[Page]:
    """A fresh window at `url`; at the end nothing may have gone wrong that a test did not cause."""
    context = browser.new_context(
        base_url=url, locale=language, viewport={"width": 1280, "height": 800}, **settings
    )
    context.set_default_timeout(10_000)
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
    assert wrong == []


def is_foreign(asked: str, own: str) -> bool:
    return not asked.startswith((own, "blob:" + own, "data:"))


def is_fault(kind: str, text: str) -> bool:
    return kind == "error" and not text.startswith(EXPECTED_ERRORS)


def log_in(page: Page, name: str = "inspector") -> None:
    """From the login page to the start page."""
    page.get_by_role("textbox").first.fill(name)
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    expect(page.get_by_test_id("person")).to_be_visible()
