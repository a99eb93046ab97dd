from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import memory, postgres
from tests.simulation.centre import Ground


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    with postgres(directory=memory()) as url:
        made = Ground(url)
        yield made
        made.close()
