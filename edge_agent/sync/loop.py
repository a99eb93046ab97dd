"""A thread that does one thing again and again: when woken, when a wait is over, and never twice at once.

Rules of this file:
- A wake-up is a hint and may come at any time; what is due is for the work to find out.
- Nothing the work raises ends the loop: it is told once and tried again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

AFTER_A_FAULT_S = 30.0

log = logging.getLogger(__name__)


class Loop:
    """Calls `work()`, which returns the seconds until it wants to be called again (None: only when woken).

    `gather_s`: how long a wake-up waits for others, because a commit seldom comes alone.
    """

    def __init__(self, name: str, work: Callable[[], float | None], gather_s: float = 0.0) -> None:
        self._work, self._gather_s = work, gather_s
        self._woken, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def close(self, patience_s: float) -> None:
        """Asks it to end, and waits for that so long."""
        self._closing.set()
        self._woken.set()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while not self._is_closing():
            wait_s = self._worked()
            if wait_s is None or wait_s > 0:
                is_woken = self._woken.wait(wait_s)
                if is_woken and self._gather_s:
                    self._closing.wait(self._gather_s)

    def _is_closing(self) -> bool:
        """Asked after what woke it is forgotten: whoever closes it from now on wakes it again."""
        self._woken.clear()
        return self._closing.is_set()

    def _worked(self) -> float | None:
        try:
            return self._work()
        except Exception:  # the outermost boundary of its thread: the loop must outlive it
            if not self._closing.is_set():
                log.exception("%s: an error nobody foresaw", self._thread.name)
            return AFTER_A_FAULT_S
