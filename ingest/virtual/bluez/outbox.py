"""What goes out on the bus, in order and never faster than the bus takes it."""

import asyncio
import logging
from collections import deque
from typing import Any, cast

from dbus_fast import Message
from dbus_fast.aio.message_bus import MessageBus

UNCONFIRMED_MESSAGES = 32
"""A socket's send buffer holds several times as many small messages. dbus-fast 5.2.0 gives the connection up
when that buffer is full, so after so many the bus has to say that it took them."""

CLOSE_TIMEOUT_S = 1
"""What waits is sent in milliseconds, unless the bus hangs."""

_log = logging.getLogger(__name__)


class Outbox:
    """The only sender on a connection.

    Parameters
    ----------
    bus : MessageBus
        Connected.
    """

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._waiting: deque[Message] = deque()
        self._is_wanted = asyncio.Event()
        self._is_closing = False
        self._sending = asyncio.create_task(self._send())

    def put(self, message: Message) -> None:
        """Send a message when its turn comes; once the bus is gone, nothing."""
        if not self._sending.done():
            self._waiting.append(message)
            self._is_wanted.set()

    async def close(self) -> None:
        """Send what waits, unless the bus is gone or hangs: a service that ends says goodbye."""
        self._is_closing = True
        self._is_wanted.set()
        await asyncio.wait({self._sending}, timeout=CLOSE_TIMEOUT_S)
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self) -> None:
        unconfirmed = 0
        try:
            while not self._is_closing:
                await self._is_wanted.wait()
                self._is_wanted.clear()
                while self._waiting:
                    await self._written(self._waiting.popleft())
                    unconfirmed += 1
                    if unconfirmed >= UNCONFIRMED_MESSAGES:
                        await self._bus.call(_ping())
                        unconfirmed = 0
        except (OSError, EOFError) as error:
            _log.debug("the bus is gone: %s", error)

    async def _written(self, message: Message) -> None:
        await cast("asyncio.Future[Any]", self._bus.send(message))  # pyright: ignore[reportUnknownMemberType]


def _ping() -> Message:
    return Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus.Peer",
        member="Ping",
    )
