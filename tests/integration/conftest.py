"""Nothing over virtual air may hold up the event loop: what arrives meanwhile would be stamped late."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from bleak.backends.bluezdbus.version import BlueZFeatures
from bleak_retry_connector.bleak_manager import get_global_bluez_manager_with_timeout
from blockbuster import BlockBuster, blockbuster_ctx

from ingest.virtual.air import Air
from ingest.virtual.bluez.bed import BUS_VARIABLE, VirtualBluetooth


@pytest.fixture(autouse=True)
def _no_blocking_call() -> Iterator[BlockBuster]:
    with blockbuster_ctx(["ingest", "store"]) as blockbuster:
        yield blockbuster


@pytest.fixture
async def bluetooth(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[VirtualBluetooth]:
    """A Bluetooth service of the test's own, which Bleak's Linux backend uses as if it were the machine's.

    Parametrise it indirectly with a number of adapters; one otherwise.
    """
    # What the libraries remember of an earlier bus, or would ask a program of this machine for.
    monkeypatch.setattr(get_global_bluez_manager_with_timeout, "_has_dbus_socket", None, raising=False)
    monkeypatch.setattr(BlueZFeatures, "checked_bluez_version", True)
    async with VirtualBluetooth(Air(), adapters=getattr(request, "param", 1)) as virtual:
        monkeypatch.setenv(BUS_VARIABLE, virtual.address)
        yield virtual
    # Bleak notices that its bus is gone, and closes what it has open, in this loop.
    async with asyncio.timeout(1):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - Bleak's own tasks, which tell nobody
            await asyncio.sleep(0.001)
