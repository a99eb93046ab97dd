"""The language in which commands tell people what is wrong and what to do.

Rules of this file:
- It is the language of titles, hints and findings; codes, names and values are the same in every language.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping

VARIABLES = ("EDGE_AGENT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def spoken(environ: Mapping[str, str] = os.environ, *, wish: str = "") -> str:
    """`ja` or `en`: the wish, else what the first of VARIABLES says that is set, else the operating system."""
    chosen = wish or next(filter(None, map(environ.get, VARIABLES)), None) or locale.getlocale()[0] or ""
    return "ja" if chosen.lower().startswith("ja") else "en"
