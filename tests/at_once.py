"""Work that others do on a thread of their own, done where it is given: for tests in which order is everything."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """`made` holds what came of all of it. An error is found where the result is asked for; what is none (the power
    went) is raised at `submit`."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **more))
        except Exception as error:
            done.set_exception(error)
        else:
            self.made.append(done.result())
        return done
