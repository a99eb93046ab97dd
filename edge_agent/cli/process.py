"""A server in the foreground of a terminal or a service manager: its log and its end.

Rules of this file:
- Logs go to standard error.
- SIGTERM is the normal end, Ctrl-C an interruption; both finish what is under way.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
QUIET = ("uvicorn", "apscheduler", "watchdog", "httpx")


class Terminated(BaseException):
    """The service manager asked for the end."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as an exception would, so that everything in it is closed; once."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Terminated:
        logging.getLogger(__name__).info("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)


def start_logging(level: str) -> None:
    """Our log at `level`, other libraries' from WARNING on, to standard error."""
    logging.basicConfig(level=level, format=FORMAT, stream=sys.stderr)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
