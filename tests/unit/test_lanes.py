"""Every lane of a sensor: killed anywhere and taken up again, the same samples, each counted once."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.arrivals import LONGEST_RUNS, SLOT_NS, Arrivals, LiveSlots
from ingest.decoders.colmi_logs import HeartRateLog, LogHeader, encode_heart_rate_log, pack_log
from ingest.decoders.pinetime import encode_motion, encode_steps
from ingest.decoders.polar_pmd import (
    AccelerationFrame,
    EcgFrame,
    PpiFrame,
    Pulse,
    StreamSettings,
    encode_frame,
    pack_record,
)
from ingest.records import Kind, LinkState, Record, link_payload
from ingest.samples import Folded, SampleFold, SensorState, values_in
from ingest.settlement import Settlement, Settler
from store.ledger_digest import sample_digest
from store.timeseries import AnyBatch, whose
from store.units import NS_PER_MS, NS_PER_S

START_NS = 1_767_643_200 * NS_PER_S  # 2026-01-05T20:00:00Z, the beginning of a five-minute slot
DEVICE_NS = 1_600_000_000 * NS_PER_S
ACC_HZ = 25
Stored = dict[tuple[str, str, str], dict[int, tuple]]
Queue = list[tuple[int, Record]]


def record(kind: Kind, payload: bytes, second: float = 0, sensor: str = "AA") -> Record:
    at_ns = round(second * NS_PER_S)
    return Record(kind, "S1", sensor, START_NS + at_ns, at_ns, payload)


def link(state: LinkState, second: float, sensor: str = "AA") -> Record:
    return record("link_state", link_payload(state, "a test"), second, sensor)


def beat(second: float, sensor: str = "AA") -> Record:
    return record("heart_rate_measurement", bytes.fromhex("163c0004"), second, sensor)


def moved(second: float, samples: int = 36) -> Record:
    """Acceleration up to a moment, that arrives a little later."""
    random = np.random.default_rng(round(second * 1000))
    counts = np.rint(random.normal([0, 300, 950], 40, (samples, 3))).astype(np.int32)
    frame = AccelerationFrame(DEVICE_NS + round(second * NS_PER_S), counts)
    payload = pack_record(StreamSettings(ACC_HZ, 16, 8), encode_frame(frame))
    return record("polar_pmd", payload, second + random.uniform(0.001, 0.09))


def pulses(second: float) -> Record:
    frame = PpiFrame(None, tuple(Pulse(75, 800 + k, 10, skin_contact=True) for k in range(6)))
    return record("polar_pmd", pack_record(StreamSettings(), encode_frame(frame)), second)


def ecg(second: float) -> Record:
    frame = EcgFrame(DEVICE_NS + round(second * NS_PER_S), np.arange(73, dtype=np.int32))
    return record("polar_pmd", pack_record(StreamSettings(130, 14), encode_frame(frame)), second)


def logged(second: float, heart_rate_bpm: Sequence[int], sensor: str = "AA") -> Record:
    """A ring's log of 5 January, whose slot 240 begins at 20:00."""
    day = date(2026, 1, 5)
    slots = (*heart_rate_bpm, *[0] * (288 - len(heart_rate_bpm)))
    answer = encode_heart_rate_log(HeartRateLog(day, 5, slots))
    return record("colmi_heart_rate_log", pack_log(LogHeader(day), answer), second, sensor)


def steps(second: float, total: int) -> Record:
    return record("pinetime_steps", encode_steps(total), second)


def numbered(records: Sequence[Record]) -> Queue:
    return list(enumerate(records, start=1))


def fold_all(records: Sequence[Record], *, keep_waveforms: bool = False) -> Stored:
    stored: Stored = {}
    write(
        [s.batch for s in SampleFold({}, keep_waveforms=keep_waveforms).add(numbered(records)).batches],
        stored,
    )
    return stored


def write(batches: Sequence[AnyBatch], stored: Stored) -> None:
    for batch in batches:
        columns = [batch.values[name].tolist() for name in batch.stream.column_names()]
        for row, (t_ns, *values) in enumerate(zip(batch.t_ns.tolist(), *columns, strict=True)):
            stored.setdefault((batch.stream.name, *whose(batch, row)), {})[t_ns] = tuple(map(str, values))


def story() -> list[Record]:
    """A strap with everything, a watch and a ring: openings, gaps, a restart, poison, back-fill."""
    records = [
        *(link(state, 0, sensor) for state in ("started", "connected") for sensor in ("AA", "BB")),
        *(beat(second) for second in range(1, 45)),
        *(beat(second + 0.4, "BB") for second in range(1, 30)),
        *(beat(second) for second in range(52, 58)),
        *(record("heart_rate_measurement", b"\x06\x48", second) for second in (8, 33, 53) for _ in range(3)),
        *(moved(0.7 + 1.44 * k) for k in range(30)),
        *(moved(60 + 1.44 * k) for k in range(12)),
        *(pulses(25 + 4.815 * k) for k in range(9)),
        *(ecg(2 + 3.3 * k) for k in range(10)),
        *(steps(3 * k + 0.2, total) for k, total in enumerate([70, 70, 82, 95, 4, 9])),
        record("battery_level", b"\x55", 3.3),
        record("battery_level", b"\xff", 14.9),
        record("polar_pmd", b"\x01", 17.1),
        logged(310, [*[61] * 238, 62, 63, 64], "BB"),
        link("off_body", 46.3),
        link("on_body", 49.8),
        link("disconnected", 63.3),
        link("connected", 63.9),
        link("stopped", 311, "BB"),
        link("started", 312, "BB"),
        logged(320, [*[61] * 238, 62, 63, 64, 65], "BB"),
        beat(321, "BB"),
        beat(322, "BB"),
    ]
    return sorted(records, key=lambda r: r.wall_ns)


def run(queue: Queue, sizes: Sequence[int], states: dict, stored: Stored, counted: Counter) -> Queue:
    """Forward in pieces until `sizes` ends; return what is left in the spool."""
    fold, settler, left, position = SampleFold(states, keep_waveforms=True), Settler(), dict(queue), 0
    for size in sizes:
        piece, position = queue[position : position + size], position + size
        folded: Folded = fold.add(piece)
        write([s.batch for s in folded.batches], stored)
        acknowledge(settler.settle(folded, {}), left, states, counted)
    return sorted(left.items())


def acknowledge(settlement: Settlement, left: dict[int, Record], states: dict, counted: Counter) -> None:
    for record_id in settlement.forwarded + [record_id for record_id, _ in settlement.quarantined]:
        del left[record_id]
    for key, state in settlement.states.items():
        states[key] = SensorState.from_json(json.loads(json.dumps(state.as_json())))
    held = settlement.samples
    for number, t_ns, digest in zip(held.index, held.t_ns.tolist(), held.digests.tolist(), strict=True):
        subject, stream, sensor = held.series[number]
        counted[stream, subject, sensor, t_ns, digest] += 1


def digests_of(batches: Sequence[AnyBatch]) -> Counter:
    found: Counter = Counter()
    for batch in batches:
        digests = sample_digest(batch.stream, batch.t_ns, batch.values).tolist()
        for row, (t_ns, digest) in enumerate(zip(batch.t_ns.tolist(), digests, strict=True)):
            subject, sensor = whose(batch, row)
            found[batch.stream.name, subject, sensor, t_ns, digest] += 1
    return found


END = [link("stopped", 400), link("stopped", 400, "BB")]
QUEUE = numbered([*story(), *END])
WHOLE = SampleFold({}, keep_waveforms=True).add(QUEUE)
EXPECTED: Stored = {}
write([s.batch for s in WHOLE.batches], EXPECTED)


def test_the_story_speaks_of_every_lane():
    streams = {name for name, _, _ in EXPECTED}
    assert streams == {
        "heart_rate", "rr_interval", "pp_interval", "activity_epoch", "step_count", "battery", "link_state",
        "waveform", "device_clock",
    }  # fmt: skip
    assert len(EXPECTED["rr_interval", "S1", "AA"]) == 50
    assert len(EXPECTED["pp_interval", "S1", "AA"]) == 54
    assert len(EXPECTED["activity_epoch", "S1", "AA"]) >= 11
    assert WHOLE.settled == [i for i, r in QUEUE if r.payload not in (b"\xff", b"\x01")]


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(1, 60), max_size=12), max_size=6))
def test_killed_anywhere_the_samples_are_the_same_and_counted_once(runs: list[list[int]]):
    stored: Stored = {}
    counted: Counter = Counter()
    states: dict = {}
    left = QUEUE
    for sizes in runs:
        left = run(left, sizes, states, stored, counted)
    assert run(left, [len(QUEUE)], states, stored, counted) == []
    assert stored == EXPECTED
    assert counted == digests_of([s.batch for s in WHOLE.batches])


def test_state_is_that_before_the_records_that_wait():
    """Three frames of one moment wait behind a gap while the beats before them settle."""
    burst = [record("heart_rate_measurement", b"\x06\x48", 15) for _ in range(3)]
    queue = numbered(
        [*(beat(second) for second in range(1, 13)), beat(15), *burst, *(beat(s) for s in range(16, 30))]
    )
    stored, counted, states = {}, Counter(), {}
    left = run(queue[:16], [16], states, stored, counted)
    assert [i for i, _ in left] == [13, 14, 15, 16]
    run(sorted({**dict(left), **dict(queue[16:])}.items()), [50], states, stored, counted)
    assert stored == fold_all([each for _, each in queue])


def test_batches_of_any_size_give_the_same_samples():
    for size in (1, 2, 7, 50):
        stored: Stored = {}
        counted: Counter = Counter()
        assert run(QUEUE, [size] * len(QUEUE), {}, stored, counted) == []
        assert stored == EXPECTED
        assert counted == digests_of([s.batch for s in WHOLE.batches])


def test_a_lane_that_waits_does_not_hold_back_the_others():
    fold = SampleFold({})
    folded = fold.add(numbered([beat(1), moved(2), steps(2, 5), record("battery_level", b"\x55", 2)]))
    assert folded.settled == [3, 4]
    assert fold.held() == {("S1", "AA"): 2}
    assert len(fold.add([(5, moved(6.1))]).settled) == 2
    assert len(fold.add([(6, link("off_body", 7))]).settled) == 2
    assert fold.held() == {}


def test_no_lane_holds_back_more_than_a_quarter_of_a_minute():
    fold, arrived = SampleFold({}), {}
    for record_id, each in numbered(
        [r for r in story() if r.sensor_id == "AA" and r.wall_ns < START_NS + 40 * NS_PER_S]
    ):
        arrived[record_id] = each.wall_ns
        folded = fold.add([(record_id, each)])
        for settled in [*folded.settled, *(i for i, _ in folded.quarantined)]:
            del arrived[settled]
        assert each.wall_ns - min(arrived.values(), default=each.wall_ns) < 15 * NS_PER_S


def test_steps_are_differences_and_a_reset_invents_none():
    records = [link("started", 0), *(steps(60 * k, n) for k, n in enumerate([500, 520, 520, 12, 40]))]
    rows = fold_all(records)["step_count", "S1", "AA"]
    assert rows == {
        START_NS + second * NS_PER_S: (f"{made:.1f}", "60.0")
        for second, made in ((60, 20), (120, 0), (180, 12), (240, 28))
    }


def test_counting_begins_anew_with_the_collector():
    records = [
        link("started", 0),
        steps(1, 100),
        link("stopped", 2),
        link("started", 3),
        steps(4, 160),
        steps(5, 161),
    ]
    assert list(fold_all(records)["step_count", "S1", "AA"].values()) == [("1.0", "1.0")]


def test_logged_heart_rate_fills_only_slots_without_live():
    slot_s = SLOT_NS // NS_PER_S
    live = [beat(second) for second in range(slot_s, slot_s + 20)]
    log = logged(3 * slot_s, [*[60] * 239, 61, 62, 63, 64])
    rows = fold_all([*live, log])["heart_rate", "S1", "AA"]
    at_s = {(t_ns - START_NS) // NS_PER_S: values[0] for t_ns, values in rows.items()}
    assert at_s[-slot_s] == "61.0"
    assert at_s[0] == "62.0"
    assert at_s[slot_s] == "60.0"  # the strap's own
    assert at_s[2 * slot_s] == "64.0"
    assert len(rows) == 20 + 242


def test_logged_heart_rate_of_a_ring_that_was_not_worn_live_is_whole():
    off = [
        record("heart_rate_measurement", payload, second + 0.5)
        for second, payload in enumerate([b"\x00\x00", b"\x04\x48", b"\x06\x00"])
    ]
    rows = fold_all([*off, logged(900, [*[0] * 239, 61, 62])])["heart_rate", "S1", "AA"]
    assert len(rows) == 5
    assert rows[START_NS] == ("62.0", "nan", "nan")


def test_log_downloaded_again_repeats_nothing():
    log = [*[60] * 240, 61]
    once = fold_all([logged(600, log)])
    assert fold_all([logged(600, log), logged(2400, [*log, 62]), logged(4200, [*log, 62])]) != once
    assert len(fold_all([logged(600, log), logged(4200, [*log, 62])])["heart_rate", "S1", "AA"]) == 242


def test_live_slots_are_bounded():
    slots = LiveSlots()
    for slot in range(0, 4 * LONGEST_RUNS, 2):
        slots = slots.with_slot(slot)
    assert len(slots.runs) == LONGEST_RUNS
    assert 4 * LONGEST_RUNS - 2 in slots
    assert 0 not in slots
    assert slots.with_slot(4 * LONGEST_RUNS - 2) is slots
    assert LiveSlots(((3, 5),)).with_slot(6) == LiveSlots(((3, 6),))
    held = Arrivals({"battery": 5}, {"step_count": (7, 8)}, LiveSlots(((3, 5), (8, 9))))
    assert Arrivals.from_json(json.loads(json.dumps(held.as_json()))) == held


def test_waveforms_are_kept_only_where_asked():
    records = [ecg(1), moved(2), ecg(3), link("stopped", 5)]
    assert ("waveform", "S1", "AA") not in fold_all(records)
    fold = SampleFold({}, keep_waveforms=True)
    (batch,) = (s.batch for s in fold.add(numbered(records)).batches if s.batch.stream.name == "waveform")
    assert batch.values["signal"].tolist() == ["ecg_uv", "acc_mg", "ecg_uv"]
    assert np.frombuffer(batch.values["frame"][0], "<i4").tolist() == list(range(73))


def test_waveform_that_ends_in_zeros_keeps_them():
    frame = EcgFrame(DEVICE_NS, np.zeros(5, np.int32))
    fold = SampleFold({}, keep_waveforms=True)
    sent = record("polar_pmd", pack_record(StreamSettings(130, 14), encode_frame(frame)))
    (sourced,) = fold.add([(1, sent)]).batches
    assert sourced.batch.values["frame"][0] == bytes(20)


def test_pulses_are_placed_like_beats():
    records = [*(pulses(5 + 4.815 * k) for k in range(5)), link("stopped", 30)]
    rows = fold_all(records)["pp_interval", "S1", "AA"]
    t_ns = np.array(list(rows))
    pp_ms = np.array([float(values[0]) for values in rows.values()])
    assert len(rows) == 30
    assert np.diff(t_ns) / NS_PER_MS == pytest.approx(pp_ms[1:])
    assert next(iter(rows.values())) == ("800.0", "10.0", "0.0", "1.0")


def test_epochs_lie_where_the_wearable_says():
    rows = fold_all([*(moved(1.44 * k) for k in range(1, 30)), link("stopped", 50)])[
        "activity_epoch", "S1", "AA"
    ]
    assert list(rows) == [START_NS + 5 * k * NS_PER_S for k in range(8)]
    assert {values[-1] for values in list(rows.values())[1:-1]} <= {"124.0", "125.0", "126.0"}


def test_motion_without_a_clock_becomes_epochs_too():
    frame = encode_motion((0, 0, 1024))
    records = [record("pinetime_motion", frame, k / 10) for k in range(100)]
    rows = fold_all([*records, link("stopped", 13)])["activity_epoch", "S1", "AA"]
    assert [(values[1], values[3], values[-1]) for values in rows.values()] == [
        ("0.0", "90.0", "50.0"), ("0.0", "90.0", "50.0")
    ]  # fmt: skip


def test_clock_of_the_wearable_is_noted_every_ten_minutes():
    rows = fold_all([moved(1.44 * k) for k in range(1, 900)])["device_clock", "S1", "AA"]
    seconds = [(t_ns - START_NS) // NS_PER_S for t_ns in rows]
    assert seconds == pytest.approx([1, 601, 1202], abs=3)
    assert [float(v) for (v,) in rows.values()] == pytest.approx(
        [(DEVICE_NS - START_NS) / NS_PER_S] * 3, abs=0.1
    )


def test_values_in_a_record_are_those_it_brings_itself():
    assert values_in(pulses(1)) == {"pp_interval": 6}
    assert values_in(logged(900, [*[0] * 240, 61])) == {"heart_rate": 1}
    assert values_in(moved(1)) == {}
    assert values_in(steps(1, 5)) == {}


def test_reader_with_a_bug_costs_one_record(monkeypatch: pytest.MonkeyPatch):
    from ingest import readings

    def fails(_record: Record):
        raise IndexError("index 7 of 5")

    monkeypatch.setitem(readings.READERS, "battery_level", fails)  # pyright: ignore[reportArgumentType]
    folded = SampleFold({}).add(numbered([record("battery_level", b"\x55"), steps(1, 5)]))
    assert folded.settled == [2]
    ((record_id, reason),) = folded.quarantined
    assert record_id == 1
    assert "battery_level record of AA cannot be read by this version (IndexError: index 7 of 5)" in reason
