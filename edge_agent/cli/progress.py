"""Signs of life while something takes long, on a terminal only.

Rules of this file:
- Everything goes to standard error, so that standard output stays what a program can read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

Report = Callable[[str, int, int | None], None]
"""What is being done, how many are done, of how many (None: not known)."""


def waiting(text: str) -> Any:
    """A spinner with the text while the block runs."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)


@contextmanager
def bar(text: str) -> Iterator[Report]:
    """A progress bar; what it is given moves it."""
    if not sys.stderr.isatty():
        yield lambda step, done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=None)

        def report(step: str, done: int, of: int | None) -> None:
            progress.update(task, description=f"{text}: {step}", completed=done, total=of)

        yield report
