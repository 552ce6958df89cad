"""A virtual ring of the Colmi R02 family, with a week of a person's logs in its memory."""

import asyncio
import random
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import numpy as np
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import (
    GATT_DEVICE_INFORMATION_SERVICE,
    GATT_FIRMWARE_REVISION_STRING_CHARACTERISTIC,
    GATT_HARDWARE_REVISION_STRING_CHARACTERISTIC,
    Characteristic,
    CharacteristicValue,
    Service,
)

from ingest.decoders import colmi_big_data as big_data
from ingest.decoders import colmi_packets as packets
from ingest.decoders.colmi_big_data import SleepDay, Spo2Day, Stage, Stretch, Topic
from ingest.decoders.colmi_logs import (
    HeartRateLog,
    HrvLog,
    StepsLog,
    StepSlot,
    encode_heart_rate_log,
    encode_hrv_log,
    encode_steps_log,
)
from ingest.decoders.colmi_packets import Charge, Command, Packet
from ingest.decoders.device_information import encode_string
from ingest.virtual.air import Air
from ingest.virtual.devices.peripheral import Peripheral, notified, readable
from ingest.virtual.person import VirtualPerson
from store.errors import FrameError
from store.units import NS_PER_S

NAME = "R02_341C"
DAYS_STORED = 7
PIECE_BYTES = 20
"""Long answers come in pieces of the smallest MTU."""

_S_PER_DAY, _SLOT_S, _HRV_SLOT_S, _HOUR_S = 86_400, 300, 1800, 3600
_QUARTERS_PER_HOUR = 4
_METRES_PER_STEP = 0.7
_BATTERY_PCT = 64
_CYCLE = ((Stage.LIGHT, 30), (Stage.DEEP, 25), (Stage.LIGHT, 20), (Stage.REM, 15))
"""A cycle of sleep, and how long each stage takes of it in minutes."""


class VirtualColmiRing(Peripheral):
    """A ring that answers what it is asked, as the captured ones do.

    Parameters
    ----------
    air : Air
    address : str
    person : VirtualPerson
        Who has been wearing it, for as long as it can remember.
    now_ns : callable
        The true time, nanoseconds UTC.
    name : str
    no_data : iterable of date
        Days of which it holds nothing.

    Attributes
    ----------
    clock_offset_s : int
        What its clock is ahead, until it is set.
    loss_frac : float
        Share of the packets of its answers that get lost, 0-1.
    requests : list of bytes
        All that it was asked, in order.
    """

    def __init__(
        self,
        air: Air,
        address: str,
        person: VirtualPerson,
        now_ns: Callable[[], int],
        *,
        name: str = NAME,
        no_data: Iterable[date] = (),
    ) -> None:
        self.clock_offset_s = 0
        self.loss_frac = 0.0
        self.requests: list[bytes] = []
        self._person = person
        self._now_ns = now_ns
        self._no_data = frozenset(no_data)
        self._chance = random.Random(person.seed)  # noqa: S311 - losses that a test can repeat
        self._packets = notified(packets.NOTIFY_UUID)
        self._pieces = notified(big_data.NOTIFY_UUID)
        super().__init__(air, address, name, self._services(), [UUID(packets.SERVICE_UUID)])

    def today(self) -> date:
        """Return the day that its clock shows."""
        return _utc(self._now_ns() // NS_PER_S + self.clock_offset_s).date()

    def heart_rate_log(self, day: date) -> HeartRateLog | None:
        """Return what it holds of a day: up to now, 0 in slots without a measurement."""
        if not self._holds(day):
            return None
        rates = _day_of_heart_rate(self._person, day)
        past = self._past_s(day) // _SLOT_S
        return HeartRateLog(day, 5, rates[:past] + (0,) * (len(rates) - past))

    def steps_log(self, day: date) -> StepsLog | None:
        """Return what it holds of a day, hour by hour."""
        if not self._holds(day):
            return None
        hours = -(-self._past_s(day) // _HOUR_S)
        counts = _rng(self._person, day, "steps").poisson(_busy(self._person, day) * 600)
        slots = tuple(
            StepSlot(hour * _QUARTERS_PER_HOUR, int(steps), round(steps * _METRES_PER_STEP), int(steps) * 4)
            for hour, steps in enumerate(counts[:hours])
            if steps
        )
        return StepsLog(day, slots) if slots else None

    def hrv_log(self, day: date) -> HrvLog | None:
        """Return what it holds of a day."""
        if not self._holds(day):
            return None
        values = _rng(self._person, day, "hrv").normal(self._person.rmssd_ms, 6, 48).clip(5, 250)
        past = self._past_s(day) // _HRV_SLOT_S
        hrv_ms = tuple(round(value) if slot < past else 0 for slot, value in enumerate(values))
        return HrvLog((self.today() - day).days, 30, hrv_ms)

    def sleep_days(self) -> tuple[SleepDay, ...]:
        """Return the nights that it holds and that are over, oldest first."""
        nights = (_night(self._person, self.today(), ago) for ago in range(DAYS_STORED - 1, -1, -1))
        return tuple(
            night
            for night in nights
            if self._holds(day := self.today() - timedelta(days=night.days_ago))
            and night.end_min * 60 <= self._past_s(day)
        )

    def spo2_days(self) -> tuple[Spo2Day, ...]:
        """Return the days that it holds, oldest first."""
        return tuple(
            self._spo2_day(ago)
            for ago in range(DAYS_STORED - 1, -1, -1)
            if self._holds(self.today() - timedelta(days=ago))
        )

    def _spo2_day(self, days_ago: int) -> Spo2Day:
        day = self.today() - timedelta(days=days_ago)
        lows = _rng(self._person, day, "spo2").integers(93, 99, 24)
        hours = self._past_s(day) // _HOUR_S
        return Spo2Day(
            days_ago,
            tuple((int(low), int(low) + 1) if hour < hours else (0, 0) for hour, low in enumerate(lows)),
        )

    def _holds(self, day: date) -> bool:
        return 0 <= (self.today() - day).days < DAYS_STORED and day not in self._no_data

    def _past_s(self, day: date) -> int:
        """Return how much of a day is over on its clock."""
        shown_s = self._now_ns() // NS_PER_S + self.clock_offset_s
        midnight_s = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        return min(max(shown_s - midnight_s, 0), _S_PER_DAY)

    def _write(self, _connection: Connection, value: bytes) -> None:
        self.requests.append(value)
        try:
            answer = self._answer(value)
        except FrameError:
            return
        pieces = [
            answer[at : at + packets.PACKET_BYTES] for at in range(0, len(answer), packets.PACKET_BYTES)
        ]
        asyncio.get_running_loop().call_soon(self._send, self._packets, pieces)

    def _answer(self, request: bytes) -> bytes:
        packet = packets.decode_packet(request)
        today = self.today()
        match packet.command:
            case Command.SET_TIME:
                shown_s = round(packets.decode_set_time(request).timestamp())
                self.clock_offset_s = shown_s - self._now_ns() // NS_PER_S
                # The first is sent unasked, and says how large a packet may be.
                ready = packets.encode_packet(Packet(0x2F, b"\xf1"))
                return ready + packets.encode_packet(
                    Packet(Command.SET_TIME, bytes.fromhex("000001160000000001002000"))
                )
            case Command.BATTERY:
                return packets.encode_charge(Charge(_BATTERY_PCT))
            case Command.HEART_RATE_LOG:
                return encode_heart_rate_log(
                    self.heart_rate_log(_utc(int.from_bytes(packet.data[:4], "little")).date())
                )
            case Command.STEPS_LOG:
                return encode_steps_log(self.steps_log(today - timedelta(days=packet.data[0])))
            case Command.HRV_LOG:
                return encode_hrv_log(self.hrv_log(today - timedelta(days=packet.data[0])))
            case _:
                return packets.encode_packet(Packet(packet.command, b"", is_error=True))

    def _write_big_data(self, _connection: Connection, value: bytes) -> None:
        self.requests.append(value)
        try:
            topic = big_data.topic_of_request(value)
        except FrameError:
            return
        answer = (
            big_data.encode_sleep(self.sleep_days())
            if topic is Topic.SLEEP
            else big_data.encode_spo2(self.spo2_days())
        )
        pieces = [answer[at : at + PIECE_BYTES] for at in range(0, len(answer), PIECE_BYTES)]
        asyncio.get_running_loop().call_soon(self._send, self._pieces, pieces)

    def _send(self, characteristic: Characteristic[bytes], pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            if self._chance.random() >= self.loss_frac:
                self.notify(characteristic, piece)

    def _services(self) -> list[Service]:
        about = {
            GATT_HARDWARE_REVISION_STRING_CHARACTERISTIC: "R02_V3.0",
            GATT_FIRMWARE_REVISION_STRING_CHARACTERISTIC: "R02_3.00.06_240523",
        }
        return [
            Service(
                GATT_DEVICE_INFORMATION_SERVICE,
                [readable(uuid, encode_string(text)) for uuid, text in about.items()],
            ),
            Service(UUID(packets.SERVICE_UUID), [_written(packets.WRITE_UUID, self._write), self._packets]),
            Service(
                UUID(big_data.SERVICE_UUID),
                [_written(big_data.WRITE_UUID, self._write_big_data), self._pieces],
            ),
        ]


def _written(uuid: str, write: Callable[[Connection, bytes], None]) -> Characteristic[bytes]:
    properties = Characteristic.Properties
    return Characteristic[bytes](
        uuid,
        properties.WRITE | properties.WRITE_WITHOUT_RESPONSE,
        Characteristic.Permissions.WRITEABLE,
        CharacteristicValue(write=write),
    )


def _utc(t_s: int) -> datetime:
    return datetime.fromtimestamp(t_s, UTC)


def _rng(person: VirtualPerson, day: date, what: str) -> np.random.Generator:
    return np.random.default_rng([person.seed, day.toordinal(), *what.encode()])


@lru_cache(maxsize=64)
def _day_of_heart_rate(person: VirtualPerson, day: date) -> tuple[int, ...]:
    midnight_s = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    beats = person.beats(midnight_s * NS_PER_S, (midnight_s + _S_PER_DAY) * NS_PER_S)
    slots = (beats.t_ns // NS_PER_S - midnight_s) // _SLOT_S
    counts = np.bincount(slots, minlength=_S_PER_DAY // _SLOT_S)
    sums_ms = np.bincount(slots, beats.rr_ms, minlength=_S_PER_DAY // _SLOT_S)
    rates = np.rint(60_000 * counts / np.maximum(sums_ms, 1)).astype(np.int64)
    return tuple(int(rate) for rate in rates.clip(0, 254))


def _busy(person: VirtualPerson, day: date) -> list[float]:
    """Return how busy each hour of a day is, 0-1: nothing in the usual hours of sleep."""
    start_h = (12 + person.sleep_start_h) % 24
    is_asleep = [(hour - start_h) % 24 < person.sleep_h for hour in range(24)]
    chance = _rng(person, day, "busy")
    return [0.0 if asleep else float(chance.random()) for asleep in is_asleep]


def _night(person: VirtualPerson, today: date, days_ago: int) -> SleepDay:
    """Return the sleep that ended on a day, in cycles."""
    chance = _rng(person, today - timedelta(days=days_ago), "sleep")
    start_min = round((person.sleep_start_h - 12) * 60 + chance.normal(0, 25))
    cycles = max(round(person.sleep_h * 60 / sum(minutes for _, minutes in _CYCLE)), 1)
    stretches = [Stretch(stage, minutes) for _ in range(cycles) for stage, minutes in _CYCLE]
    stretches.append(Stretch(Stage.AWAKE, 5))
    return SleepDay(
        days_ago, start_min, start_min + sum(part.minutes for part in stretches), tuple(stretches)
    )
