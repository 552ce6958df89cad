"""How to collect from rings of the Colmi R02 family: download what they have stored.

A ring measures by itself and keeps about a week. It does so only where its wearer's app, or its maker, has
switched that on; a ring that answers with no data day after day has it switched off.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from weakref import WeakKeyDictionary

from ingest.decoders import colmi_big_data as big_data
from ingest.decoders import colmi_packets as packets
from ingest.decoders.colmi_logs import (
    LogHeader,
    decode_heart_rate_log,
    decode_hrv_log,
    decode_steps_log,
    pack_log,
    packets_in_log,
)
from ingest.profiles.answers import Answers
from ingest.profiles.profile import Port, Tried, Watch
from ingest.records import Kind
from ingest.tasks import honour_cancellation
from store.errors import FrameError, SensorError
from store.streams import BATTERY, HEART_RATE, SLEEP_STAGE, SPO2, STEP_COUNT, VENDOR_HRV, Stream
from store.units import NS_PER_S

ANSWER_WITHIN_S = 10.0
"""A day of heart rate is 24 packets, which take about two seconds."""

ATTEMPTS = 3
"""Rings lose a packet now and then, and mix answers with what they send unasked."""

SETTLE_S = 1.0
"""After a failed answer: its rest must not begin the next one."""

DAYS_STORED = 7

MIDNIGHT_MARGIN_S = 60
"""Days are asked for by their distance from the ring's today, so not while that may be either of two."""

_S_PER_MIN, _S_PER_DAY = 60, 86_400
_UNIX_EPOCH = date(1970, 1, 1)
_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _DayLog:
    """A log that is asked for day by day.

    Attributes
    ----------
    kind : Kind
    request : callable
        (day, today) to the request.
    check : callable
        (answer, day, today); raises `FrameError` unless the answer is the whole log of that day, or says that
        there is none. Returns whether there is one.
    """

    kind: Kind
    request: Callable[[date, date], bytes]
    check: Callable[[bytes, date, date], bool]


@dataclass(frozen=True, slots=True)
class _LongLog:
    """A log that comes as one answer for all days."""

    kind: Kind
    topic: big_data.Topic
    decode: Callable[[bytes], tuple[object, ...]]


class ColmiProfile:
    """Clock, battery and stored logs of a ring.

    The ring's clock is set to UTC at each download: a ring knows no zone, and its logs say days and slots
    only. What it stored while an app kept it in local time, before it was first set here, is off by that
    zone.
    """

    name = "Colmi ring"
    service_uuid = packets.SERVICE_UUID
    reads = "stored heart rate, steps, sleep, oxygen saturation and HRV of up to a week; battery"
    streams: tuple[Stream, ...] = (HEART_RATE, STEP_COUNT, SLEEP_STAGE, SPO2, VENDOR_HRV, BATTERY)
    reference = packets.REFERENCE
    tried: Tried = "virtual"

    def __init__(self) -> None:
        # Nothing in a value may lead back to its port, or neither would ever be forgotten.
        self._inboxes: WeakKeyDictionary[Port, _Inbox] = WeakKeyDictionary()

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Subscribe to the answers; nothing has to keep coming."""
        inbox = _Inbox(Answers(port.clock, ANSWER_WITHIN_S), Answers(port.clock, ANSWER_WITHIN_S))
        await port.subscribe(packets.NOTIFY_UUID, inbox.packets.put)
        inbox.has_pieces = await port.subscribe(big_data.NOTIFY_UUID, inbox.pieces.put)
        self._inboxes[port] = inbox
        return ()

    async def attend(self, port: Port) -> None:
        """Download now, and again and again while the link stands."""
        ring = _Ring(port, self._inboxes[port])
        while True:
            await ring.download()
            await port.clock.sleep(port.settings.log_download_min * _S_PER_MIN)

    async def stop(self, port: Port) -> None:
        """Forget the ring; it goes on measuring."""
        self._inboxes.pop(port, None)


@dataclass(eq=False)
class _Inbox:
    """What one ring answers: in packets, and in pieces of long answers, which old firmware does not have."""

    packets: Answers
    pieces: Answers
    has_pieces: bool = False


class _Ring:
    """One connected ring."""

    def __init__(self, port: Port, inbox: _Inbox) -> None:
        self._port = port
        self._packets = inbox.packets
        self._pieces = inbox.pieces
        self._has_big_data = inbox.has_pieces

    async def download(self) -> None:
        """Set the clock, then download every log; one that fails is left for the next time."""
        wait_s = _until_day_is_certain_s(self._port.clock.now_ns())
        if wait_s:
            await self._port.clock.sleep(wait_s)
        try:
            await self._attempts(self._set_clock)
        except (SensorError, FrameError) as error:
            # Without its clock, nothing that it stores has a time.
            _log.warning("The ring's clock was not set, so nothing is downloaded: %s", error)
            return
        await self._battery()
        for day_log in _DAY_LOGS:
            await self._day_log(day_log)
        for long_log in _LONG_LOGS if self._has_big_data else ():
            await self._long_log(long_log)

    async def _set_clock(self) -> None:
        request = packets.set_time_request(self._port.clock.now_ns())
        answer = packets.decode_packet(await self._ask(request, lambda _first: 1, "its clock"))
        if answer.is_error:
            raise SensorError("The ring refuses to have its clock set")

    async def _battery(self) -> None:
        try:
            answer = await self._ask(packets.battery_request(), lambda _first: 1, "its battery")
            packets.decode_charge(answer)
        except (SensorError, FrameError) as error:
            _log.warning("The ring's battery level is not known: %s", error)
        else:
            self._port.keep("colmi_battery", answer)

    async def _day_log(self, log: _DayLog) -> None:
        """Download a log's days from where it was left, up to the first that fails."""
        today = self._today()
        for day in self._days_due(log.kind, today):
            try:
                answer = await self._day(log, day, today)
            except (SensorError, FrameError) as error:
                _log.warning("%s of %s not downloaded, and no later day: %s", log.kind, day, error)
                return
            if answer is not None:
                self._keep(log.kind, day, answer)
            if day < today:
                self._port.remember(log.kind, (day - _UNIX_EPOCH).days)
                self._port.remember(_since_key(log.kind), self._port.worn_since_ns)

    async def _day(self, log: _DayLog, day: date, today: date) -> bytes | None:
        """Return the whole log of a day, or None if the ring has none."""
        request = log.request(day, today)

        async def attempt() -> bytes | None:
            answer = await self._ask(request, packets_in_log, f"{log.kind} of {day}")
            has_data = log.check(answer, day, today)
            if self._today() != today:
                raise SensorError("A new day began while it answered, so which day it speaks of is unknown")
            return answer if has_data else None

        return await self._attempts(attempt)

    async def _long_log(self, log: _LongLog) -> None:
        """Download a log of all days."""
        today = self._today()

        async def attempt() -> bytes:
            answer = await self._ask_long(log.topic)
            log.decode(answer)
            if self._today() != today:
                raise SensorError("A new day began while it answered, so which days it speaks of is unknown")
            return answer

        try:
            self._keep(log.kind, today, await self._attempts(attempt))
        except (SensorError, FrameError) as error:
            _log.warning("%s not downloaded: %s", log.kind, error)

    async def _attempts(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        for _ in range(ATTEMPTS - 1):
            try:
                return await attempt()
            except (SensorError, FrameError):
                await self._port.clock.sleep(SETTLE_S)
        return await attempt()

    async def _ask(self, request: bytes, packets_in: Callable[[bytes], int], what: str) -> bytes:
        """Return as many packets as the first one of the answer promises; others are none of its business."""
        self._packets.expect()
        await self._port.client.write_gatt_char(packets.WRITE_UUID, request)
        honour_cancellation()
        answer, needed_bytes = b"", packets.PACKET_BYTES
        while len(answer) < needed_bytes:
            packet = await self._packets.next(what)
            if packets.answers(packet, request):
                needed_bytes = packets_in(answer[: packets.PACKET_BYTES] or packet) * packets.PACKET_BYTES
                answer += packet
        return answer

    async def _ask_long(self, topic: big_data.Topic) -> bytes:
        """Return an answer of many pieces."""
        self._pieces.expect()
        await self._port.client.write_gatt_char(big_data.WRITE_UUID, big_data.big_data_request(topic))
        honour_cancellation()
        answer = await self._pieces.next(topic.name)
        while len(answer) < big_data.bytes_in_answer(answer):
            answer += await self._pieces.next(topic.name)
        return answer

    def _keep(self, kind: Kind, day: date, answer: bytes) -> None:
        header = LogHeader(day, worn_since_s=-(-self._port.worn_since_ns // NS_PER_S))
        self._port.keep(kind, pack_log(header, answer))

    def _today(self) -> date:
        return _day_of(self._port.clock.now_ns())

    def _days_due(self, kind: Kind, today: date) -> Iterator[date]:
        """Yield the days to download, oldest first; today always, for it is not over."""
        first = max(today - timedelta(days=DAYS_STORED - 1), _day_of(self._port.worn_since_ns))
        last_whole = self._port.memory.get(kind)
        since_ns = self._port.memory.get(_since_key(kind), self._port.worn_since_ns)
        # Worn for longer than was known then: the days before are theirs too.
        if last_whole is not None and since_ns <= self._port.worn_since_ns:
            first = max(first, _UNIX_EPOCH + timedelta(days=last_whole + 1))
        for ago in range(max((today - first).days, 0), -1, -1):
            yield today - timedelta(days=ago)


def _since_key(kind: Kind) -> str:
    return f"{kind} since"


def _day_of(t_ns: int) -> date:
    return datetime.fromtimestamp(t_ns // NS_PER_S, UTC).date()


def _until_day_is_certain_s(now_ns: int) -> int:
    """Return how long to wait until the ring and this machine surely agree on which day it is."""
    since_s = now_ns // NS_PER_S % _S_PER_DAY
    if since_s < MIDNIGHT_MARGIN_S:
        return MIDNIGHT_MARGIN_S - since_s
    if since_s > _S_PER_DAY - MIDNIGHT_MARGIN_S:
        return _S_PER_DAY - since_s + MIDNIGHT_MARGIN_S
    return 0


def _check_heart_rate(answer: bytes, day: date, _today: date) -> bool:
    log = decode_heart_rate_log(answer)
    if log is not None and log.day != day:
        raise FrameError(f"A heart rate log is of {log.day}; asked for was {day}", answer)
    return log is not None


def _check_steps(answer: bytes, day: date, _today: date) -> bool:
    log = decode_steps_log(answer)
    if log is not None and log.day != day:
        raise FrameError(f"A steps log is of {log.day}; asked for was {day}", answer)
    return log is not None


def _check_hrv(answer: bytes, day: date, today: date) -> bool:
    log = decode_hrv_log(answer)
    if log is not None and log.days_ago != (today - day).days:
        raise FrameError(f"An HRV log is {log.days_ago} days old; asked for was {(today - day).days}", answer)
    return log is not None


_DAY_LOGS = (
    _DayLog("colmi_heart_rate_log", lambda day, _: packets.heart_rate_log_request(day), _check_heart_rate),
    _DayLog(
        "colmi_steps_log", lambda day, today: packets.steps_log_request((today - day).days), _check_steps
    ),
    _DayLog("colmi_hrv_log", lambda day, today: packets.hrv_log_request((today - day).days), _check_hrv),
)
_LONG_LOGS = (
    _LongLog("colmi_sleep_log", big_data.Topic.SLEEP, big_data.decode_sleep),
    _LongLog("colmi_spo2_log", big_data.Topic.SPO2, big_data.decode_spo2),
)
