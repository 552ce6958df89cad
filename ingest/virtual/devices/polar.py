"""Virtual Polar sensors: an H10 with ECG and acceleration, a Verity Sense with acceleration and intervals."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import (
    GATT_BATTERY_LEVEL_CHARACTERISTIC,
    GATT_BATTERY_SERVICE,
    GATT_DEVICE_INFORMATION_SERVICE,
    GATT_HEART_RATE_MEASUREMENT_CHARACTERISTIC,
    GATT_HEART_RATE_SERVICE,
    GATT_MANUFACTURER_NAME_STRING_CHARACTERISTIC,
    GATT_MODEL_NUMBER_STRING_CHARACTERISTIC,
    Characteristic,
    CharacteristicValue,
    Service,
)
from numpy.typing import NDArray

from ingest.decoders.battery import encode_battery
from ingest.decoders.device_information import encode_string
from ingest.decoders.heart_rate import encode_heart_rate
from ingest.decoders.polar_control import (
    CONTROL_UUID,
    SERVICE_UUID,
    Command,
    Measurement,
    Response,
    Setting,
    Settings,
    Status,
    decode_request,
    encode_control_point,
    encode_features,
    encode_settings,
)
from ingest.decoders.polar_pmd import (
    DATA_UUID,
    AccelerationFrame,
    EcgFrame,
    Frame,
    PpiFrame,
    Pulse,
    encode_frame,
)
from ingest.virtual.air import Air
from ingest.virtual.devices.peripheral import Peripheral, notified, readable, readable_and_notified
from ingest.virtual.person import VirtualPerson
from store.errors import FrameError
from store.types import HeartRateMeasurement, RrSeries
from store.units import NS_PER_S

BATCH_S = 5
FIRST_INTERVALS_S = 25
"""Pulse-to-pulse intervals come in batches, the first of them late."""

SAMPLES_PER_FRAME = {Measurement.ECG: 73, Measurement.ACCELERATION: 36}
_BATTERY_PCT = 90
_HOUR_NS = 3600 * NS_PER_S
_RESPONSE_BYTES = 20
"""A response longer than this is sent in parts, as by devices with a small MTU."""

FACTOR_G = 2.44e-4
"""What a count of a compressed frame stands for; a Verity Sense tells this one."""

_WAVES_UV = (
    (-0.16, 0.025, 120.0),
    (-0.03, 0.01, -150.0),
    (0.0, 0.012, 1100.0),
    (0.03, 0.01, -250.0),
    (0.25, 0.04, 280.0),
)
"""P, Q, R, S and T: seconds from the R peak, width in s, height in microvolts."""

_PROPERTIES = Characteristic.Properties


@dataclass(slots=True)
class _Stream:
    """One that runs: since when, and how many samples (of intervals: batches) it has sent."""

    rate_hz: int
    start_ns: int
    sent: int = 0


class VirtualPolar(Peripheral):
    """A Polar sensor that sends what its settings say when `send_due` is called.

    Streams go on when the central leaves without stopping them, as in a real one, and take its battery.

    Parameters
    ----------
    air : Air
    address : str
    person : VirtualPerson
        Who wears it.
    now_ns : callable
        The true time, nanoseconds UTC.
    name : str
    compressed : bool
        Send acceleration in compressed frames.

    Attributes
    ----------
    model : str
    offered : mapping of Measurement to Settings
    clock_offset_ns : int
        What its own clock is ahead; an H10 off the strap for a minute starts again in 2019.
    refusals : dict of Measurement to Status
        How a start is answered, where not with success.
    is_mute : bool
        Whether it leaves commands without an answer.
    commands : list of bytes
        All that it was told, in order.
    """

    model: str
    offered: Mapping[Measurement, Settings]

    def __init__(
        self,
        air: Air,
        address: str,
        person: VirtualPerson,
        now_ns: Callable[[], int],
        *,
        name: str,
        compressed: bool,
    ) -> None:
        self.clock_offset_ns = 0
        self.refusals: dict[Measurement, Status] = {}
        self.is_mute = False
        self.commands: list[bytes] = []
        self._person = person
        self._now_ns = now_ns
        self._compressed = compressed
        self._streams: dict[Measurement, _Stream] = {}
        self._answering: set[asyncio.Task[int]] = set()
        self._heart = notified(GATT_HEART_RATE_MEASUREMENT_CHARACTERISTIC)
        self._battery = readable_and_notified(GATT_BATTERY_LEVEL_CHARACTERISTIC, encode_battery(_BATTERY_PCT))
        self._data = notified(DATA_UUID)
        self._control = Characteristic[bytes](
            CONTROL_UUID,
            _PROPERTIES.READ | _PROPERTIES.WRITE | _PROPERTIES.INDICATE,
            Characteristic.Permissions.READABLE | Characteristic.Permissions.WRITEABLE,
            CharacteristicValue(read=self._features, write=self._write_control),
        )
        super().__init__(air, address, name, self._services(), [GATT_HEART_RATE_SERVICE])

    @property
    def running(self) -> frozenset[Measurement]:
        """What it measures, whether or not anyone listens."""
        return frozenset(self._streams)

    def send(self, measurement: HeartRateMeasurement) -> int:
        """Notify a heart rate measurement; return how many centrals it went to."""
        return self.notify(self._heart, encode_heart_rate(measurement))

    def send_due(self) -> int:
        """Notify the frames that became full; return how many reached a central."""
        return sum(self.notify(self._data, encode_frame(frame)) for frame in self._due())

    def _due(self) -> list[Frame]:
        due: list[Frame] = []
        for measurement, stream in self._streams.items():
            if measurement is Measurement.PPI:
                due += self._due_intervals(stream)
            else:
                due += self._due_waves(measurement, stream)
        return due

    def _due_waves(self, measurement: Measurement, stream: _Stream) -> Iterator[Frame]:
        count = SAMPLES_PER_FRAME[measurement]
        while (last_ns := self._sample_ns(stream, stream.sent + count - 1)) <= self._now_ns():
            t_ns = np.array([self._sample_ns(stream, stream.sent + sample) for sample in range(count)])
            stream.sent += count
            yield self._frame(measurement, t_ns, last_ns + self.clock_offset_ns)

    def _due_intervals(self, stream: _Stream) -> Iterator[Frame]:
        if self._now_ns() < stream.start_ns + FIRST_INTERVALS_S * NS_PER_S:
            return
        while (until_ns := stream.start_ns + (stream.sent + 1) * BATCH_S * NS_PER_S) <= self._now_ns():
            stream.sent += 1
            t_ns, rr_ms = beats(self._person, until_ns - BATCH_S * NS_PER_S, until_ns)
            pulses = tuple(Pulse(round(60_000 / rr), round(rr), 10, skin_contact=True) for rr in rr_ms)
            if pulses:
                yield PpiFrame(int(t_ns[-1]) + self.clock_offset_ns, pulses)

    def _frame(self, measurement: Measurement, t_ns: NDArray[np.int64], device_ns: int) -> Frame:
        if measurement is Measurement.ECG:
            return EcgFrame(device_ns, ecg_uv(self._person, t_ns))
        acc_mg = acceleration_mg(self._person, t_ns)
        if self._compressed:
            counts = np.rint(acc_mg / (1000 * FACTOR_G)).astype(np.int32)
            return AccelerationFrame(device_ns, counts, 0, is_compressed=True)
        return AccelerationFrame(device_ns, acc_mg)

    @staticmethod
    def _sample_ns(stream: _Stream, sample: int) -> int:
        return stream.start_ns + sample * NS_PER_S // stream.rate_hz

    def _features(self, _connection: Connection) -> bytes:
        return encode_features(frozenset(self.offered))

    def _write_control(self, _connection: Connection, value: bytes) -> None:
        self.commands.append(value)
        if self.is_mute:
            return
        try:
            answers = self._answers(value)
        except FrameError:
            return
        for answer in answers:
            sending = asyncio.get_running_loop().create_task(
                self.indicate(self._control, encode_control_point(answer))
            )
            self._answering.add(sending)
            sending.add_done_callback(self._answering.discard)

    def _answers(self, request: bytes) -> list[Response]:
        command, measurement, chosen = decode_request(request)
        if measurement not in self.offered:
            return [Response(command, measurement, Status.NOT_SUPPORTED)]
        match command:
            case Command.GET_SETTINGS:
                return _in_parts(command, measurement, encode_settings(self.offered[measurement]))
            case Command.START:
                return [self._start(measurement, chosen)]
            case Command.STOP:
                was_running = self._streams.pop(measurement, None) is not None
                status = Status.SUCCESS if was_running else Status.ALREADY_IN_STATE
                return [Response(command, measurement, status)]

    def _start(self, measurement: Measurement, chosen: dict[Setting, int]) -> Response:
        status = self.refusals.get(measurement, Status.SUCCESS)
        if measurement in self._streams:
            status = Status.ALREADY_IN_STATE
        elif chosen.keys() != self.offered[measurement].keys() or any(
            value not in self.offered[measurement][setting] for setting, value in chosen.items()
        ):
            status = Status.INVALID_PARAMETER
        if status is not Status.SUCCESS:
            return Response(Command.START, measurement, status)
        self._streams[measurement] = _Stream(chosen.get(Setting.SAMPLE_RATE_HZ, 0), self._now_ns())
        told: Settings = {}
        if self._compressed and measurement is Measurement.ACCELERATION:
            told = {Setting.FACTOR: (int(np.array([FACTOR_G], "<f4").view("<u4")[0]),)}
        return Response(Command.START, measurement, Status.SUCCESS, parameters=encode_settings(told))

    def _services(self) -> list[Service]:
        about = {
            GATT_MANUFACTURER_NAME_STRING_CHARACTERISTIC: "Polar Electro Oy",
            GATT_MODEL_NUMBER_STRING_CHARACTERISTIC: self.model,
        }
        return [
            Service(GATT_HEART_RATE_SERVICE, [self._heart]),
            Service(GATT_BATTERY_SERVICE, [self._battery]),
            Service(
                GATT_DEVICE_INFORMATION_SERVICE,
                [readable(uuid, encode_string(text)) for uuid, text in about.items()],
            ),
            Service(UUID(SERVICE_UUID), [self._control, self._data]),
        ]


class VirtualPolarH10(VirtualPolar):
    """An H10: ECG and acceleration, in raw frames."""

    model = "H10"
    offered: Mapping[Measurement, Settings] = {
        Measurement.ECG: {Setting.SAMPLE_RATE_HZ: (130,), Setting.RESOLUTION_BITS: (14,)},
        Measurement.ACCELERATION: {
            Setting.SAMPLE_RATE_HZ: (25, 50, 100, 200),
            Setting.RESOLUTION_BITS: (16,),
            Setting.RANGE_G: (2, 4, 8),
        },
    }

    def __init__(
        self,
        air: Air,
        address: str,
        person: VirtualPerson,
        now_ns: Callable[[], int],
        *,
        name: str = "Polar H10 0A1B2C3D",
        compressed: bool = False,
    ) -> None:
        super().__init__(air, address, person, now_ns, name=name, compressed=compressed)


class VirtualVeritySense(VirtualPolar):
    """A Verity Sense: acceleration in compressed frames, and pulse-to-pulse intervals."""

    model = "Verity Sense"
    offered: Mapping[Measurement, Settings] = {
        Measurement.ACCELERATION: {
            Setting.SAMPLE_RATE_HZ: (52,),
            Setting.RESOLUTION_BITS: (16,),
            Setting.RANGE_G: (8,),
            Setting.CHANNELS: (3,),
        },
        Measurement.PPI: {},
    }

    def __init__(
        self,
        air: Air,
        address: str,
        person: VirtualPerson,
        now_ns: Callable[[], int],
        *,
        name: str = "Polar Sense 0A1B2C3D",
    ) -> None:
        super().__init__(air, address, person, now_ns, name=name, compressed=True)


def _in_parts(command: Command, measurement: Measurement, parameters: bytes) -> list[Response]:
    size = _RESPONSE_BYTES - 5
    parts = [parameters[at : at + size] for at in range(0, len(parameters), size)]
    return [
        Response(command, measurement, Status.SUCCESS, has_more=part is not parts[-1], parameters=part)
        for part in parts
    ]


def beats(person: VirtualPerson, start_ns: int, end_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (time, interval in ms) of the beats in `[start_ns, end_ns)`."""
    hours = range(start_ns // _HOUR_NS, -(-end_ns // _HOUR_NS))
    series = [_hour_of_beats(person, hour * _HOUR_NS) for hour in hours]
    t_ns = np.concatenate([one.t_ns for one in series])
    rr_ms = np.concatenate([one.rr_ms for one in series])
    is_in = (t_ns >= start_ns) & (t_ns < end_ns)
    return t_ns[is_in], rr_ms[is_in]


@lru_cache(maxsize=16)
def _hour_of_beats(person: VirtualPerson, hour_ns: int) -> RrSeries:
    return person.beats(hour_ns, hour_ns + _HOUR_NS)


def ecg_uv(person: VirtualPerson, t_ns: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return a person's ECG at these times, microvolts: five bumps around each beat."""
    peaks_ns, _ = beats(person, int(t_ns[0]) - NS_PER_S, int(t_ns[-1]) + NS_PER_S)
    after_s = (t_ns[:, None] - peaks_ns) / NS_PER_S
    waves = [height * np.exp(-0.5 * ((after_s - at) / width) ** 2) for at, width, height in _WAVES_UV]
    return np.rint(np.sum(waves, axis=(0, 2))).astype(np.int32)


def acceleration_mg(person: VirtualPerson, t_ns: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return a person's acceleration, mg: gravity as they turn, and a walk now and then."""
    t_s = t_ns / NS_PER_S
    turn = 2 * np.pi * (t_s / 900 + person.seed % 97 / 97)
    gravity = np.stack(
        [np.sin(turn) * 0.6, np.full(len(t_s), -0.2), np.sqrt(0.96 - 0.36 * np.sin(turn) ** 2)], axis=1
    )
    is_walking = (t_s // 60).astype(np.int64) * 7919 % 10 < 2
    step = 250 * np.sin(2 * np.pi * 1.8 * (t_s % 60)) * is_walking
    noise = np.random.default_rng([person.seed, int(t_ns[0]) // NS_PER_S]).normal(0, 4, (len(t_s), 3))
    return np.rint(1000 * gravity + step[:, None] * gravity + noise).astype(np.int32)
