import itertools
import json

import numpy as np
import pytest

from ingest.readings import reading_of
from ingest.records import Kind, LinkState, Record, link_payload
from ingest.rows import SourcedBatch
from ingest.samples import Folded, SampleFold, SensorState, values_in
from store.errors import DataError
from store.timeseries import whose
from store.units import NS_PER_S

START_NS = 1_767_643_200 * NS_PER_S
BEAT = bytes.fromhex("143c0004")
Rows = dict[tuple[str, str, str], dict[int, tuple]]


def record(kind: Kind, payload: bytes, second: float = 0, sensor: str = "AA") -> Record:
    at_ns = round(second * NS_PER_S)
    return Record(kind, "S1", sensor, START_NS + at_ns, at_ns, payload)


def beat(second: float, sensor: str = "AA", payload: bytes = BEAT) -> Record:
    return record("heart_rate_measurement", payload, second, sensor)


def link(state: LinkState, second: float, sensor: str = "AA") -> Record:
    return record("link_state", link_payload(state, "a test"), second, sensor)


def rows_of(batches: list[SourcedBatch], rows: Rows | None = None) -> Rows:
    rows = {} if rows is None else rows
    for batch in (sourced.batch for sourced in batches):
        columns = [batch.values[name].tolist() for name in batch.stream.column_names()]
        for row, (t_ns, *values) in enumerate(zip(batch.t_ns.tolist(), *columns, strict=True)):
            key = (batch.stream.name, *whose(batch, row))
            rows.setdefault(key, {})[t_ns] = tuple(str(value) for value in values)
    return rows


def numbered(records: list[Record]) -> list[tuple[int, Record]]:
    return list(enumerate(records, start=1))


def test_each_kind_becomes_samples_of_its_stream():
    records = [
        link("connected", 0),
        beat(1, payload=bytes.fromhex("0e480700")),
        beat(2, payload=bytes.fromhex("1048000400020002")),
        record("battery_level", b"\x55", 3),
        link("disconnected", 4),
    ]
    folded = SampleFold({}).add(numbered(records))
    rows = rows_of(folded.batches)
    at = {second: START_NS + round(second * NS_PER_S) for second in (0, 1, 1.5, 2, 3, 4)}
    assert rows["heart_rate", "S1", "AA"] == {at[1]: ("72.0", "1.0", "7.0"), at[2]: ("72.0", "nan", "nan")}
    assert rows["battery", "S1", "AA"] == {at[3]: ("85.0",)}
    assert rows["link_state", "S1", "AA"] == {
        at[0]: ("connected", "a test"),
        at[4]: ("disconnected", "a test"),
    }
    assert rows["rr_interval", "S1", "AA"] == {
        at[1]: ("1000.0",),
        at[1.5]: ("500.0",),
        at[2]: ("500.0",),
    }
    assert folded.settled == [1, 2, 3, 4, 5]


def test_heart_rate_is_not_held_back_with_its_beats():
    fold = SampleFold({})
    folded = fold.add(numbered([beat(second) for second in range(1, 6)]))
    assert [(s.batch.stream.name, len(s.batch)) for s in folded.batches] == [("heart_rate", 5)]
    assert folded.settled == []
    assert folded.states == {}
    assert fold.held() == {("S1", "AA"): 5}


def test_sensors_are_settled_each_on_its_own():
    fold = SampleFold({})
    records = [beat(1), beat(1, "BB"), link("stopped", 2, "BB"), beat(3)]
    folded = fold.add(numbered(records))
    assert folded.settled == [2, 3]
    assert set(folded.states) == {("S1", "BB")}


def test_frames_of_one_moment_keep_their_own_samples():
    records = [beat(1, payload=bytes([0, rate])) for rate in (60, 61, 62)]
    later = Record("heart_rate_measurement", "S1", "AA", records[0].wall_ns + 1, 1, bytes([0, 63]))
    rows = rows_of(SampleFold({}).add(numbered([*records, later])).batches)
    assert list(rows["heart_rate", "S1", "AA"]) == [records[0].wall_ns + late for late in range(4)]


def test_frame_after_a_clock_step_back_keeps_its_time():
    folded = SampleFold({}).add(numbered([beat(10), beat(5)]))
    (sourced,) = (s for s in folded.batches if s.batch.stream.name == "heart_rate")
    assert np.diff(sourced.batch.t_ns).tolist() == [-5 * NS_PER_S]


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("heart_rate_measurement", b"\xff\x00", "reserved flags"),
        ("battery_level", b"\x65", "101 %"),
        ("link_state", b"{}", "not JSON with state and reason"),
        ("link_state", b"\xff", "not JSON with state and reason"),
        ("link_state", b"[]", "not JSON with state and reason"),
        ("waveform", b"", "kind 'waveform'"),
    ],
)
def test_poisoned_record_is_quarantined_and_stops_nobody(kind, payload, said):
    poisoned = record(kind, payload)
    folded = SampleFold({}).add(numbered([beat(1), poisoned, link("stopped", 2)]))
    ((record_id, error),) = folded.quarantined
    assert record_id == 2
    assert said in error
    assert folded.settled == [1, 3]
    assert values_in(poisoned) == {}
    with pytest.raises(DataError):
        reading_of(poisoned)


def test_values_in_a_record_are_counted_before_they_are_placed():
    assert values_in(beat(1, payload=bytes.fromhex("1048000400020002"))) == {
        "heart_rate": 1,
        "rr_interval": 3,
    }
    assert values_in(beat(1, payload=b"\x00\x48")) == {"heart_rate": 1}
    assert values_in(link("started", 1)) == {"link_state": 1}


def story() -> list[Record]:
    """Two sensors with openings, a gap, suspects, a frame nobody can read, and a restart."""
    straps = [
        link("started", 0),
        link("started", 0, "BB"),
        *(beat(second) for second in range(1, 15)),
        *(beat(second + 0.5, "BB") for second in range(1, 30)),
        beat(16.7),
        record("battery_level", b"\x50", 16.8),
        beat(17),
        *(beat(second) for second in range(22, 40)),
        beat(40, payload=b"\xe0"),
        *(beat(second) for second in range(60, 64)),
        link("disconnected", 64),
        link("started", 65),
        *(beat(second) for second in range(66, 70)),
    ]
    return sorted(straps, key=lambda r: r.wall_ns)


def test_forwarding_again_after_a_crash_at_any_point_gives_the_same_rows():
    queue = numbered(story())
    whole = SampleFold({}).add(queue)
    expected = rows_of(whole.batches)
    for size, crash in itertools.product((1, 5), range(0, len(queue), 3)):
        rows: Rows = {}
        states, left = run(queue[:crash], {}, size, rows)
        saved = {key: SensorState.from_json(json.loads(json.dumps(s.as_json()))) for key, s in states.items()}
        run(left + queue[crash:], saved, size, rows)
        assert rows == expected, (size, crash)


def run(queue: list, states: dict, size: int, rows: Rows) -> tuple[dict, list]:
    """Forward in pieces; return the states and what is left in the spool."""
    fold, states, gone = SampleFold(states), dict(states), set[int]()
    for start in range(0, len(queue), size):
        folded: Folded = fold.add(queue[start : start + size])
        rows_of(folded.batches, rows)
        states |= folded.states
        gone.update(folded.settled, (record_id for record_id, _ in folded.quarantined))
    return states, [(i, r) for i, r in queue if i not in gone]


def test_replay_of_the_past_gives_the_same_rows():
    records = [r for r in story() if r.sensor_id == "AA"] + [link("stopped", 71)]
    fold = SampleFold({})
    first = rows_of(fold.add(numbered(records)).batches)
    assert rows_of(fold.add(numbered(records)).batches) == first
    single = [link("started", 0), beat(1), link("stopped", 2)]
    assert rows_of(SampleFold({}).add(numbered(single * 2)).batches) == rows_of(
        SampleFold({}).add(numbered(single)).batches
    )


def test_restart_of_the_collector_does_not_go_back():
    records = [*(beat(second) for second in range(1, 20)), link("started", 20), beat(20.1), beat(21)]
    folded = SampleFold({}).add(numbered([*records, link("stopped", 22)]))
    times_ns = np.concatenate([s.batch.t_ns for s in folded.batches if s.batch.stream.name == "rr_interval"])
    assert len(times_ns) == 21
    assert (np.diff(times_ns) > 0).all()
