"""A Bluetooth service and straps as a process of their own, which note what they sent and to whom.

Told `send HZ COUNT` on standard input, every strap sends so many packets at that rate and then no more, its
sequence number advancing whether somebody listens or not; a later order takes the place of an earlier one.
Told `hear`, it waits until every strap is listened to at the same time, and says `heard`; told `leave`, until
no program uses the Bluetooth service, and says `left`. On standard output, a line each, it also says where it
is (JSON, first of all) and `sent` when it has sent. Ends with its input.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ingest.decoders.heart_rate import encode_heart_rate
from ingest.virtual.air import Air
from ingest.virtual.bluez.bed import VirtualBluetooth
from ingest.virtual.strap import ADVERTISING_INTERVAL_MS, VirtualStrap
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

ADVERTISED_EVERY_MS = 1
"""By one strap or another: more advertisements keep the service on virtual air from all else."""

ROUND_S = 0.005
"""Packets that are due are sent so often."""

BREATHER = 8
"""After so many packets everything else has its turn, also where the sender is late."""


class Sent(NamedTuple):
    """What a strap sent, in order.

    Attributes
    ----------
    sequence : (n,) int64
        As in the energy field of the packet.
    sent_ns : (n,) int64
        Monotonic time of this machine, the same in every process.
    listeners : (n,) int64
        How many centrals it went to.
    """

    sequence: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    listeners: NDArray[np.int64]


class Bed:
    """The process, as its starter sees it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        told = json.loads(self._line())
        self.bus: str = told["bus"]
        self.addresses: list[str] = told["addresses"]

    def send(self, hz: float, count: int) -> None:
        """Let every strap send, and nothing that it was told to before."""
        print("send", hz, count, file=self._stdin(), flush=True)

    def wait_until_heard(self) -> None:
        """Wait until every strap is listened to."""
        print("hear", file=self._stdin(), flush=True)
        self.wait_for("heard")

    def wait_until_left(self) -> None:
        """Wait until the Bluetooth service has let go of every program that used it and died."""
        print("leave", file=self._stdin(), flush=True)
        self.wait_for("left")

    def wait_for(self, word: str) -> None:
        """Wait until it says so; raises `RuntimeError` if it ends instead."""
        while (said := self._line()) != word:
            if not said:
                raise RuntimeError(f"The virtual straps ended before they said {word!r}")

    def end(self) -> list[Sent]:
        """End it, and return what each strap sent."""
        self._stdin().close()
        if self._process.wait(60):
            raise RuntimeError(f"The virtual straps ended with {self._process.returncode}")
        noted = np.fromfile(self._log, np.int64).reshape(-1, 4)
        straps = range(len(self.addresses))
        return [Sent(*np.ascontiguousarray(noted[noted[:, 0] == strap, 1:].T)) for strap in straps]

    def _line(self) -> str:
        return cast("IO[str]", self._process.stdout).readline().strip()

    def _stdin(self) -> IO[str]:
        return cast("IO[str]", self._process.stdin)


@contextmanager
def bed(straps: int, log: Path) -> Generator[Bed]:
    """Start straps in a process of their own; `log` takes what they sent."""
    command = [sys.executable, "-m", "benchmarks.bed", str(straps), str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Bed(process, log)
        finally:
            process.terminate()


async def _serve(count: int, log: IO[bytes]) -> None:
    orders = await _standard_input()
    interval_ms = max(ADVERTISING_INTERVAL_MS, ADVERTISED_EVERY_MS * count)
    async with VirtualBluetooth(Air()) as bluetooth, AsyncExitStack() as worn:
        straps = [
            VirtualStrap(bluetooth.air, _address(k), advertising_interval_ms=interval_ms)
            for k in range(count)
        ]
        for strap in straps:
            await strap.start()
            worn.push_async_callback(strap.stop)
        _say(json.dumps({"bus": bluetooth.address, "addresses": [strap.address for strap in straps]}))
        sender = _Sender(straps, log)
        async with asyncio.TaskGroup() as work:
            sending = work.create_task(asyncio.sleep(0))
            while order := (await orders.readline()).split():
                if order == [b"leave"]:
                    await _until_left(bluetooth)
                    continue
                if order == [b"hear"]:
                    await _until_heard(straps)
                    continue
                sending.cancel()
                await asyncio.wait({sending})
                sending = work.create_task(sender.send(float(order[1]), int(order[2])))
            sending.cancel()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _until_heard(straps: Sequence[VirtualStrap]) -> None:
    while not all(strap.battery_subscribed for strap in straps):  # noqa: ASYNC110 - a strap has no event
        await asyncio.sleep(0.05)
    _say("heard")


async def _until_left(bluetooth: VirtualBluetooth) -> None:
    while bluetooth.bluez.clients:  # noqa: ASYNC110 - a service has no event
        await asyncio.sleep(0.005)
    _say("left")


class _Sender:
    """Sends from all straps, one after the other within each interval, and notes what it sent."""

    def __init__(self, straps: Sequence[VirtualStrap], log: IO[bytes]) -> None:
        self._straps = straps
        self._log = log
        self._sent = 0

    async def send(self, hz: float, count: int) -> None:
        """Send so many packets from every strap."""
        start_ns, every_ns = time.monotonic_ns(), NS_PER_S / (hz * len(self._straps))
        for number in range(count * len(self._straps)):
            while time.monotonic_ns() < start_ns + number * every_ns:  # noqa: ASYNC110 - a clock has no event
                await asyncio.sleep(ROUND_S)
            await self._send_next(hz)
            if number % BREATHER == 0:
                await asyncio.sleep(0)
        _say("sent")

    async def _send_next(self, hz: float) -> None:
        sequence, k = divmod(self._sent, len(self._straps))
        self._sent += 1
        measurement = HeartRateMeasurement(
            bpm_of(sequence),
            skin_contact=True,
            energy_kj=sequence % 0x10000,
            rr_ms=(1000 / hz,),
        )
        sent_ns = time.monotonic_ns()
        listeners = await self._straps[k].send_frame(encode_heart_rate(measurement))
        self._log.write(np.array([k, sequence, sent_ns, listeners]).tobytes())


def bpm_of(sequence: int) -> int:
    """Return the heart rate that a strap sends with a packet: another each time, for a minute and a half."""
    return 60 + sequence % 90


def _address(number: int) -> str:
    return f"C0:5E:00:00:{number >> 8:02X}:{number & 0xFF:02X}"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    with Path(sys.argv[2]).open("wb") as held:
        asyncio.run(_serve(int(sys.argv[1]), held))
