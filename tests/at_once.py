"""Work that others do on a thread of their own, done where it is given: for tests in which order is everything."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """What the work raises is raised at `submit`; `made` holds what came of all of it."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        self.made.append(work(*args, **more))
        done.set_result(self.made[-1])
        return done
