"""Work that others do on a thread of their own, done where it is given, or where its result is asked for: for tests in
which order is everything."""

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


class Late(Executor):
    """Nothing is done before it is asked for, nor what nobody asks for. `is_late` says of each piece of work whether
    that holds for it; the others are done at once."""

    def __init__(self, is_late: Callable[[], bool] = lambda: True) -> None:
        self._is_late = is_late

    def submit(self, work: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        if self._is_late():
            return _Asked(lambda: work(*args, **more))
        return AtOnce().submit(work, *args, **more)


class _Asked(Future[Any]):
    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work

    def result(self, timeout: float | None = None) -> Any:
        return self._work()
