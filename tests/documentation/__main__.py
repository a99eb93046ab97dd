"""`python -m tests.documentation`: writes every page that is generated from the code."""

from __future__ import annotations

from tests.documentation.pages import DOCS, PAGES

for name, render in PAGES.items():
    (DOCS / name).write_text(render(), "utf-8")
