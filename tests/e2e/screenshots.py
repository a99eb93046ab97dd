"""The pictures of the README: `make screenshots` takes them anew from a real agent.

Rules of this file:
- Both languages, the same screens; JPEG, because a photograph is in most of them.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.acceptance.program import daemon
from tests.e2e.bench_camera import bench_camera
from tests.e2e.browser import open_browser
from tests.e2e.conftest import PLATE, furnish
from tests.e2e.windows import item_id, new_session, open_as, watched_page

IMAGES = Path(__file__).parents[2] / "docs" / "images"
QUALITY = 80
DRAWN = re.compile("^data:")
VIEW = {"width": 1280, "height": 800}


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as work,
        bench_camera(PLATE) as address,
        daemon(Path(work) / "data") as agent,
        open_browser() as browser,
    ):
        furnish(Path(work) / "data", address)
        for language in ("ja", "en"):
            with watched_page(browser, agent.url, language, viewport=VIEW) as page:
                take_all(page, language)


def take_all(page: Page, language: str) -> None:
    open_as(page)
    session_id = new_session(page, f"P0001-{language.upper()}")
    inspect(page, session_id, "SURFACE")
    page.goto(f"/#/sessions/{session_id}")
    expect(page.get_by_test_id("progress")).to_be_visible()
    take(page, f"items-{language}")
    open_place(page, session_id, "HOLE")
    expect(page.get_by_test_id("quality")).to_be_visible()
    take(page, f"capture-{language}")
    page.get_by_test_id("shutter").click()
    expect(page.get_by_test_id("measured")).to_be_visible()
    expect(page.locator("[data-testid=picture] img")).to_have_attribute("src", DRAWN)
    take(page, f"verdict-{language}")


def inspect(page: Page, session_id: str, item_code: str) -> None:
    open_place(page, session_id, item_code)
    page.get_by_test_id("shutter").click()
    page.get_by_test_id("decide-OK").click()
    expect(page.get_by_test_id("shutter")).to_be_visible()


def open_place(page: Page, session_id: str, item_code: str) -> None:
    page.goto(f"/#/sessions/{session_id}/items/{item_id(page, session_id, item_code)}")
    expect(page.locator("[data-testid=quality][data-fault='']")).to_be_visible()


def take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.jpg", type="jpeg", quality=QUALITY)


if __name__ == "__main__":
    main()
