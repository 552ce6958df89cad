"""What records of a Colmi ring's memory say: samples with times of their own.

Times are the ring's, minus its offset. What lies after the record's arrival is left out (slots of today that
have not come, or a clock that runs ahead), and so is what lies before this person wore the ring.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from math import nan

from ingest.decoders.colmi_big_data import Stage, decode_sleep, decode_spo2
from ingest.decoders.colmi_logs import (
    LogHeader,
    StepSlot,
    decode_heart_rate_log,
    decode_hrv_log,
    decode_steps_log,
    unpack_log,
)
from ingest.decoders.colmi_packets import decode_charge
from ingest.readings.reading import Reading, Timed, Values
from ingest.records import Record
from store.streams import BATTERY, HEART_RATE, SLEEP_STAGE, SPO2, STEP_COUNT, VENDOR_HRV, Stream
from store.units import NS_PER_S

_S_PER_MIN, _S_PER_HOUR, _S_PER_DAY = 60, 3600, 86_400
_QUARTER_S = 900
_QUARTERS_PER_HOUR = 4
_LARGEST_BYTE = 255
_STAGES: dict[int, str] = {
    Stage.LIGHT: "light",
    Stage.DEEP: "deep",
    Stage.REM: "rem",
    Stage.AWAKE: "awake",
}

Span = tuple[int, int, Values]
"""Begin and end on the ring's clock, seconds since 1970, and the values of a sample."""


def read_colmi_battery(record: Record) -> Reading:
    """Return the battery level at arrival."""
    return Reading(at_arrival=((BATTERY, (float(decode_charge(record.payload).level_pct),)),))


def read_colmi_heart_rate(record: Record) -> Reading:
    """Return the logged heart rate, each value at the beginning of its slot."""
    header, answer = unpack_log(record.payload)
    log = decode_heart_rate_log(answer)
    if log is None:
        return Reading()
    slots = _slots(log.day, log.interval_min, log.heart_rate_bpm)
    timed = _timed(
        record, header, HEART_RATE, ((start_s, start_s, (bpm, nan, nan)) for start_s, bpm in slots)
    )
    return Reading(timed=timed)


def read_colmi_steps(record: Record) -> Reading:
    """Return the steps of each stretch that is over, at its end."""
    header, answer = unpack_log(record.payload)
    log = decode_steps_log(answer)
    if log is None:
        return Reading()
    midnight_s = _midnight_s(log.day)
    spans = (_steps_span(midnight_s, slot) for slot in log.slots)
    return Reading(timed=_timed(record, header, STEP_COUNT, spans, at_end=True))


def _steps_span(midnight_s: int, slot: StepSlot) -> Span:
    # Rings count quarters of an hour but every capture known has whole hours only; a slot between hours
    # would be from a ring that means its quarters.
    is_whole_hour = slot.slot % _QUARTERS_PER_HOUR == 0
    length_s = _S_PER_HOUR if is_whole_hour else _QUARTER_S
    start_s = midnight_s + slot.slot * _QUARTER_S
    return start_s, start_s + length_s, (float(slot.steps), float(length_s))


def read_colmi_hrv(record: Record) -> Reading:
    """Return the vendor's HRV, each value at the beginning of its slot."""
    header, answer = unpack_log(record.payload)
    log = decode_hrv_log(answer)
    if log is None:
        return Reading()
    slots = _slots(header.day, log.interval_min, log.hrv_ms)
    timed = _timed(record, header, VENDOR_HRV, ((start_s, start_s, (hrv_ms,)) for start_s, hrv_ms in slots))
    return Reading(timed=timed)


def read_colmi_sleep(record: Record) -> Reading:
    """Return the sleep stages, each stretch at its beginning."""
    header, answer = unpack_log(record.payload)
    today_s = _midnight_s(header.day)
    spans: list[Span] = []
    for day in decode_sleep(answer):
        begin_s = today_s - day.days_ago * _S_PER_DAY + day.start_min * _S_PER_MIN
        for stretch in day.stretches:
            length_s = stretch.minutes * _S_PER_MIN
            if length_s:
                values = (_STAGES.get(stretch.stage, "unknown"), float(length_s))
                spans.append((begin_s, begin_s + length_s, values))
            begin_s += length_s
    return Reading(timed=_timed(record, header, SLEEP_STAGE, spans))


def read_colmi_spo2(record: Record) -> Reading:
    """Return the oxygen saturation of each hour, the middle of its lowest and highest, at its beginning."""
    header, answer = unpack_log(record.payload)
    today_s = _midnight_s(header.day)
    spans = (
        (start_s, start_s, ((low + high) / 2, nan))
        for day in decode_spo2(answer)
        for hour, (low, high) in enumerate(day.low_high_pct)
        if low and (start_s := today_s - day.days_ago * _S_PER_DAY + hour * _S_PER_HOUR)
    )
    return Reading(timed=_timed(record, header, SPO2, spans))


def _slots(day: date, interval_min: int, values: Iterable[int]) -> Iterator[tuple[int, float]]:
    """Yield (begin, value) of the slots in which something was measured."""
    length_s = interval_min * _S_PER_MIN
    for number, value in enumerate(values):
        if 0 < value < _LARGEST_BYTE:
            yield _midnight_s(day) + number * length_s, float(value)


def _timed(
    record: Record, header: LogHeader, stream: Stream, spans: Iterable[Span], *, at_end: bool = False
) -> tuple[Timed, ...]:
    samples: list[Timed] = []
    for start_s, end_s, values in spans:
        utc_ns, end_ns = ((ring_s - header.clock_offset_s) * NS_PER_S for ring_s in (start_s, end_s))
        if utc_ns >= header.worn_since_s * NS_PER_S and end_ns <= record.wall_ns:
            samples.append(Timed(stream, end_ns if at_end else utc_ns, values))
    return tuple(samples)


def _midnight_s(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
