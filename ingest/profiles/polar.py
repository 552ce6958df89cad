"""How to collect from Polar sensors: acceleration, ECG and pulse-to-pulse intervals."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np

from configs.settings import CollectorSettings
from ingest.decoders import polar_control
from ingest.decoders.polar_control import (
    CONTROL_UUID,
    MEASUREMENT_MASK,
    Command,
    Measurement,
    Response,
    Setting,
    Settings,
    Status,
    decode_control_point,
    decode_features,
    decode_settings,
    encode_request,
)
from ingest.decoders.polar_pmd import DATA_UUID, StreamSettings, pack_record
from ingest.profiles.answers import Answers
from ingest.profiles.profile import Port, Tried, Watch
from ingest.tasks import honour_cancellation
from store.errors import FrameError, SensorError
from store.streams import ACTIVITY_EPOCH, DEVICE_CLOCK, PP_INTERVAL, WAVEFORM, Stream

ANSWER_WITHIN_S = 5.0
"""An H10 answers within a connection interval or two."""

WAVES_SILENT_AFTER_S = 30.0
"""Frames of acceleration or ECG come every 0.2 to 1.5 s, worn or not."""

INTERVALS_SILENT_AFTER_S = 120.0
"""The first intervals come after 25 s, and none while the sensor sees no pulse; heart rate, which such
sensors send too, tells a dead link sooner."""

_log = logging.getLogger(__name__)


class PolarProfile:
    """Polar Measurement Data.

    Streams are stopped before the sensor is left: an H10 whose streams were not stopped keeps measuring until
    its battery is empty. For the same reason one may still run when a connection begins, in settings that
    nobody remembers; it is stopped and started anew.
    """

    name = "Polar Measurement Data"
    service_uuid = polar_control.SERVICE_UUID
    reads = "acceleration; ECG where waveforms are kept; pulse-to-pulse intervals of optical sensors"
    streams: tuple[Stream, ...] = (ACTIVITY_EPOCH, PP_INTERVAL, WAVEFORM, DEVICE_CLOCK)
    reference = polar_control.REFERENCE
    tried: Tried = "virtual"

    def __init__(self) -> None:
        # Nothing in a value may lead back to its port, or neither would ever be forgotten.
        self._streams: WeakKeyDictionary[Port, _Streams] = WeakKeyDictionary()

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Start what the settings ask for and the sensor offers.

        A stream that it refuses is left out, with a line in the log: the others are as good as ever.
        """
        offered = await port.read(CONTROL_UUID)
        if offered is None:
            raise SensorError("It does not say what it can measure")
        streams = self._streams[port] = _Streams(Answers(port.clock, ANSWER_WITHIN_S))
        await port.subscribe(CONTROL_UUID, streams.on_indication)
        await port.subscribe(DATA_UUID, partial(_keep, port, streams))
        started: set[Measurement] = set()
        for measurement in _wanted(decode_features(offered), port.settings):
            try:
                await streams.start(port, measurement)
            except (SensorError, FrameError) as error:
                _log.warning("No %s stream: %s", measurement.name, error)
            else:
                started.add(measurement)
            honour_cancellation()  # not where a command is written: streams are stopped while being cancelled
        if not started:
            return ()
        has_waves = started - {Measurement.PPI}
        return (Watch("polar_pmd", WAVES_SILENT_AFTER_S if has_waves else INTERVALS_SILENT_AFTER_S),)

    async def attend(self, port: Port) -> None:
        """Return at once: a stream that the sensor ends falls silent, and the link is made anew."""

    async def stop(self, port: Port) -> None:
        """Stop the streams."""
        streams = self._streams.pop(port, None)
        if streams is not None:
            await streams.stop(port)


def _keep(port: Port, streams: "_Streams", frame: bytes) -> None:
    """Keep a frame of a stream that was started here."""
    settings = streams.chosen.get(frame[0] & MEASUREMENT_MASK) if frame else None
    if settings is not None:
        port.keep("polar_pmd", pack_record(settings, frame))


class _Streams:
    """The streams of one connected sensor.

    Attributes
    ----------
    chosen : dict of Measurement to StreamSettings
        Of every stream that may run.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.chosen: dict[int, StreamSettings] = {}

    def on_indication(self, frame: bytes) -> None:
        """Take what the control point says."""
        with suppress(FrameError):  # for the one who asked to see
            self._note_factor(decode_control_point(frame))
        self._answers.put(frame)

    async def start(self, port: Port, measurement: Measurement) -> None:
        """Start a stream; raises `SensorError` if the sensor refuses or does not answer."""
        chosen: Mapping[Setting, int] = {}
        if measurement is not Measurement.PPI:
            offered = await self._do(port, Command.GET_SETTINGS, measurement)
            chosen = choose(decode_settings(offered.parameters), port.settings.acceleration_hz)
        self.chosen[measurement] = StreamSettings(
            chosen.get(Setting.SAMPLE_RATE_HZ, 0),
            chosen.get(Setting.RESOLUTION_BITS, 0),
            chosen.get(Setting.RANGE_G, 0),
        )
        answer = await self._ask(port, Command.START, measurement, chosen)
        if answer.status is Status.ALREADY_IN_STATE:
            await self._do(port, Command.STOP, measurement)
            answer = await self._ask(port, Command.START, measurement, chosen)
        _check(answer)

    async def stop(self, port: Port) -> None:
        """Stop every stream that may run."""
        for measurement in [Measurement(number) for number in self.chosen]:
            with suppress(SensorError, FrameError):
                await self._ask(port, Command.STOP, measurement)

    def _note_factor(self, said: object) -> None:
        # Here and not where the answer is awaited: the first frame may be right behind it.
        if isinstance(said, Response) and said.command is Command.START and said.measurement in self.chosen:
            factors = decode_settings(said.parameters).get(Setting.FACTOR)
            if factors:
                factor = float(np.array(factors[:1], "<u4").view("<f4")[0])
                self.chosen[said.measurement] = replace(self.chosen[said.measurement], factor=factor)

    async def _do(self, port: Port, command: Command, measurement: Measurement) -> Response:
        answer = await self._ask(port, command, measurement)
        _check(answer)
        return answer

    async def _ask(
        self,
        port: Port,
        command: Command,
        measurement: Measurement,
        chosen: Mapping[Setting, int] | None = None,
    ) -> Response:
        """Return the answer to a command, put together from all its parts."""
        self._answers.expect()
        request = encode_request(command, measurement, chosen or {})
        await port.client.write_gatt_char(CONTROL_UUID, request, response=True)
        parameters = b""
        while True:
            said = decode_control_point(await self._answers.next(f"{command.name} {measurement.name}"))
            if isinstance(said, Response) and (said.command, said.measurement) == (command, measurement):
                parameters += said.parameters
                if not said.has_more:
                    return replace(said, parameters=parameters)


def _wanted(features: frozenset[Measurement], settings: CollectorSettings) -> list[Measurement]:
    """Return what to stream of what a sensor offers."""
    wishes = {
        Measurement.ACCELERATION: settings.acceleration_hz > 0,
        Measurement.ECG: settings.keep_waveforms,
        # A sensor with ECG sends RR intervals, from electricity: better than any from light.
        Measurement.PPI: Measurement.ECG not in features,
    }
    return [measurement for measurement, is_wished in wishes.items() if is_wished and measurement in features]


def choose(offered: Settings, rate_hz: int) -> dict[Setting, int]:
    """Return one value of each setting that is offered: an H10 refuses a start that leaves one out.

    The rate is the nearest to `rate_hz`, of two as near the higher; all else is the most that there is: a
    range that movement does not exceed, at the finest resolution.
    """
    best: dict[Setting, int] = {}
    for setting, values in offered.items():
        if not values or setting is Setting.FACTOR:
            continue
        if setting is Setting.SAMPLE_RATE_HZ:
            best[setting] = min(values, key=lambda value: (abs(value - rate_hz), -value))
        else:
            best[setting] = max(values)
    return best


def _check(answer: Response) -> None:
    if answer.status is not Status.SUCCESS:
        raise SensorError(
            f"The sensor answers {answer.command.name} {answer.measurement.name} with {answer.status.name}"
        )
