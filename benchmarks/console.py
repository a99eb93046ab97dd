"""The console in a headless Chromium: first paint, click to verdict, a long list, size.

Measured: milliseconds that a person waits, of those what the console adds, and the first load's kilobytes.
Goal: painted within 1 s; 100 ms beyond the agent's answer; each further page of 100,000 sessions within 100 ms.
Limit: the agent's own answers, and the browser's frame of 17 ms.

Rules of this file:
- The agent is a process, the camera a stream of one photograph, the browser the one of the tests.
- What the console adds is what the screen took less what the agent's own answer took, in the same click.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page

from benchmarks.common import p99, report, spread
from benchmarks.year import FIRST as FIRST_DAY
from benchmarks.year import new_store, session_row, stamp, target_row
from edge_agent.store.database import insert
from tests.acceptance.program import Daemon, daemon
from tests.e2e.bench_camera import bench_camera
from tests.e2e.browser import open_browser
from tests.e2e.bundle import MOST_BYTES, first_load_bytes
from tests.e2e.conftest import PLATE, furnish
from tests.e2e.windows import open_as, open_item, watched_page

SESSIONS, BATCH = 100_000, 5_000
OPENINGS, SHOTS = 5, 15
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SHOOT = """
async () => {
  const there = () => document.querySelector('[data-testid=ai-verdict]');
  const start = performance.now();
  document.querySelector('[data-testid=shutter]').click();
  await new Promise((done) => new MutationObserver((_, watch) => {
    if (there()) { watch.disconnect(); requestAnimationFrame(() => setTimeout(done)); }
  }).observe(document.body, { childList: true, subtree: true }));
  const all = performance.now() - start;
  const answers = performance.getEntriesByType('resource').filter((one) => one.name.includes('/captures'));
  return [all, answers.at(-1).duration];
}
"""
SCROLL = """
async (wanted) => {
  performance.setResourceTimingBufferSize(5000);
  const list = document.querySelector('[data-testid=history]');
  const answers = () => performance.getEntriesByType('resource')
    .filter((one) => one.name.includes('/sessions?') && one.name.includes('limit=100')).map((one) => one.duration);
  for (;;) {
    list.scrollTop = list.scrollHeight;
    await new Promise(requestAnimationFrame);
    if (list.scrollHeight >= wanted * 56) return answers();
  }
}
"""


def run(work: Path) -> None:
    data_dir = work / "data"
    data_dir.mkdir()
    with closing(new_store(data_dir / "edge.db")) as database:
        for first in range(0, SESSIONS, BATCH):
            with database.write(local=False) as tx:
                for number in range(first, first + BATCH):
                    key, now = f"{number:07}", stamp(FIRST_DAY)
                    insert(tx, "inspection_targets", target_row(key, number % 10, now))
                    insert(tx, "inspection_sessions", session_row(key, number % 10, 1, now, "COMPLETED"))
    with bench_camera(PLATE) as address, daemon(data_dir) as agent, open_browser() as browser:
        furnish(data_dir, address)
        paints = [first_paint_ms(browser, agent.url) for _ in range(OPENINGS)]
        with watched_page(browser, agent.url) as page:
            open_as(page)
            shots = [shoot(page, number) for number in range(SHOTS)][1:]  # the first warms the camera up
            page.set_default_timeout(300_000)
            page.goto("/#/history")
            page.get_by_role("listitem").first.wait_for()
            before_s = cpu_s(agent)
            requests = page.evaluate(SCROLL, SESSIONS)
            used_s = cpu_s(agent) - before_s
    added = [all_ms - api_ms for all_ms, api_ms in shots]
    report(
        "console, headless Chromium",
        [
            ("opened → first useful paint, ms", spread(paints, 0), "1000"),
            ("capture click → verdict on the screen, ms", spread([all_ms for all_ms, _ in shots], 0), ""),
            ("of that beyond the agent's answer, ms", spread(added, 0), "100"),
            (f"{SESSIONS:,} sessions scrolled, requests", f"{len(requests)}", ""),
            ("their time, p99 and longest, ms", f"{p99(requests):.0f}, {max(requests):.0f}", "100"),
            ("of that the agent's processor, ms a request", f"{used_s * 1000 / len(requests):.1f}", ""),
            ("first load, gzipped, KB", f"{first_load_bytes() / 1024:.0f}", f"{MOST_BYTES // 1024}"),
        ],
    )


def cpu_s(agent: Daemon) -> float:
    """Seconds of processor the agent has used."""
    times = psutil.Process(agent.process.pid).cpu_times()
    return float(times.user + times.system)


def first_paint_ms(browser: Browser, url: str) -> float:
    """A window with an empty cache: nothing to the login page."""
    with watched_page(browser, url) as page:
        page.locator("input[type=password]").wait_for()
        page.wait_for_function(PAINTED)
        return float(page.evaluate(PAINTED))


def shoot(page: Page, number: int) -> tuple[float, float]:
    """Milliseconds from the click to the verdict, and of the agent's answer in them."""
    open_item(page, f"BENCH{number}", "SURFACE")
    page.locator("[data-testid=quality][data-fault='']").wait_for()
    whole_ms, api_ms = page.evaluate(SHOOT)
    return float(whole_ms), float(api_ms)
