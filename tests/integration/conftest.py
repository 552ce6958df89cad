"""Nothing over virtual air may hold up the event loop: what arrives meanwhile would be stamped late."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def _no_blocking_call() -> Iterator[BlockBuster]:
    with blockbuster_ctx(["ingest", "store"]) as blockbuster:
        yield blockbuster
