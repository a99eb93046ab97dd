"""Whether the object store takes what devices bring, looked at now and then and told when it changes.

Rules of this file:
- Devices send their images to the store themselves, so the server would not hear of a store that is full.
- `step` does one look; the scheduler says when.
"""

from __future__ import annotations

import logging

from central_server.errors import ServerError
from central_server.objects import Objects

log = logging.getLogger(__name__)


class StoreWatch:
    """`trouble`: what is wrong with the store, None if nothing was at the last look."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._is_prepared = False
        self.trouble: ServerError | None = None

    def step(self) -> None:
        """Prepares the store once it is there, and has it take a small object."""
        before, self.trouble = self.trouble, self._look()
        if self.trouble is None:
            log.info("the object store is well again") if before else None
        elif before is None or before.code != self.trouble.code:
            log.warning("%s", self.trouble)

    def _look(self) -> ServerError | None:
        try:
            if not self._is_prepared:
                self._objects.prepare()
                self._is_prepared = True
            self._objects.require_room()
        except ServerError as error:
            return error
        return None
