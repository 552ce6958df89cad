"""The hash of a sample: the same in every store and order, another one after any change."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.ledger_digest import NS_PER_HOUR, Total, hourly_totals, sample_digest, total_of
from store.sqlite import SqliteTimeSeries
from store.streams import BATTERY, HEART_RATE, LINK_STATE, RR_INTERVAL, STREAMS, WAVEFORM, Column, Stream
from store.timeseries import Batch

EXAMPLE = itertools.count()
T_NS = np.array([10, 20, 30], np.int64)
BEATS = {"rr_ms": np.array([800.0, 810.5, 790.25])}

VECTORS_RR = [4667484343882206903, 6825950639535102897, 18012291789289480481]
VECTORS_LINK = [14591183518915064321]

times = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=True, allow_infinity=False)
CELLS = {
    "float64": floats,
    "int64": times,
    "utf8": st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
    "binary": st.binary(),
}


def batch_of(stream: Stream, subject: str, t_ns: list[int], rows: list[tuple]) -> Batch:
    values = {name: np.empty(len(rows), object) for name in stream.column_names()}
    for k, name in enumerate(values):
        values[name][:] = [row[k] for row in rows]
    return Batch(stream, subject, "A", np.array(t_ns, np.int64), values)


def digest_of(stream: Stream, t_ns: list[int], rows: list[tuple]) -> list[int]:
    batch = batch_of(stream, "S1", t_ns, rows)
    return sample_digest(stream, batch.t_ns, batch.values).tolist()


def test_vectors_stay_what_they_are():
    # Ledgers keep these sums for years: another hash would make every store look damaged.
    assert sample_digest(RR_INTERVAL, T_NS, BEATS).tolist() == VECTORS_RR
    states = {"state": np.array(["connected"], object), "reason": np.array(["naïve ✓"], object)}
    assert sample_digest(LINK_STATE, np.array([-5]), states).tolist() == VECTORS_LINK


@given(st.data(), st.sampled_from(sorted(STREAMS)))
def test_any_change_of_time_or_value_changes_the_hash(data, name):
    stream = STREAMS[name]
    row = tuple(data.draw(CELLS[column.dtype]) for column in stream.columns)
    k = data.draw(st.integers(0, len(row) - 1))
    other = data.draw(CELLS[stream.columns[k].dtype])
    is_same = other == row[k] or (other != other and row[k] != row[k])  # noqa: PLR0124 - both NaN
    changed = (*row[:k], other, *row[k + 1 :])
    before, after = digest_of(stream, [7, 7], [row, changed])
    assert (before == after) == is_same
    assert digest_of(stream, [8], [row]) != [before]


@given(st.permutations(range(40)))
def test_the_sum_does_not_depend_on_order_and_parts_add_up(order):
    t_ns = np.arange(40) * 7 * NS_PER_HOUR // 9
    rr_ms = np.linspace(600, 900, 40)
    digests = sample_digest(RR_INTERVAL, t_ns[order], {"rr_ms": rr_ms[order]})
    whole = hourly_totals(t_ns[order], digests)
    assert whole == hourly_totals(t_ns, sample_digest(RR_INTERVAL, t_ns, {"rr_ms": rr_ms}))
    assert sum(whole.values(), Total()) == total_of(digests)
    assert total_of(digests) - total_of(digests[:13]) == total_of(digests[13:])


@given(st.lists(st.integers(-(10**18), 10**18), max_size=60))
def test_hours_are_half_open_before_1970_too(t_ns):
    digests = np.arange(len(t_ns), dtype=np.uint64) * np.uint64(2**63 + 12345)
    expected: dict[int, Total] = {}
    for t, digest in zip(t_ns, digests.tolist(), strict=True):
        hour = t // NS_PER_HOUR
        expected[hour] = expected.get(hour, Total()) + Total(1, digest)
    assert hourly_totals(np.array(t_ns, np.int64), digests) == expected


def test_there_is_one_nan_and_one_zero():
    odd = np.array([np.nan, -np.nan, np.float64(np.uint64(0x7FF8000000000123).view(np.float64))])
    assert len(set(sample_digest(BATTERY, np.zeros(3, np.int64), {"level_pct": odd}).tolist())) == 1
    zeros = sample_digest(BATTERY, np.zeros(2, np.int64), {"level_pct": np.array([0.0, -0.0])})
    assert len(set(zeros.tolist())) == 1
    assert zeros[0] != sample_digest(BATTERY, np.zeros(1, np.int64), {"level_pct": np.array([np.nan])})[0]


def test_columns_and_streams_do_not_stand_in_for_each_other():
    one = digest_of(HEART_RATE, [1], [(60.0, 1.0, 2.0)])
    assert one != digest_of(HEART_RATE, [1], [(60.0, 2.0, 1.0)])
    other = Stream("battery2", "", BATTERY.columns)
    level = {"level_pct": np.array([50.0])}
    assert sample_digest(BATTERY, T_NS[:1], level) != sample_digest(other, T_NS[:1], level)


def test_a_stream_can_gain_columns_without_old_samples_changing():
    grown = Stream(
        RR_INTERVAL.name,
        "",
        (
            *RR_INTERVAL.columns,
            Column("quality", "float64", ""),
            Column("n", "int64", ""),
            Column("note", "utf8", ""),
            Column("raw", "binary", ""),
        ),
    )
    empty = {"quality": np.full(3, np.nan), "n": np.zeros(3, np.int64)}
    texts = {"note": np.array(["", "", ""], object), "raw": np.array([b"", b"", b""], object)}
    old = sample_digest(RR_INTERVAL, T_NS, BEATS)
    assert (sample_digest(grown, T_NS, BEATS | empty | texts) == old).all()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    with SqliteTimeSeries(tmp_path_factory.mktemp("store") / "samples.sqlite") as opened:
        yield opened


@given(data=st.data(), name=st.sampled_from(sorted(STREAMS)))
def test_the_store_gives_back_what_was_hashed(embedded, data, name):
    stream, subject = STREAMS[name], f"S{next(EXAMPLE)}"
    t_ns = data.draw(st.lists(st.integers(0, 2**62), min_size=1, max_size=5, unique=True))
    cells = st.tuples(*(CELLS[column.dtype] for column in stream.columns))
    batch = batch_of(stream, subject, t_ns, [data.draw(cells) for _ in t_ns])
    embedded.write([batch])
    held = embedded.read(stream, subject)
    before = total_of(sample_digest(stream, batch.t_ns, batch.values))
    assert total_of(sample_digest(stream, held.t_ns, held.values)) == before


def test_a_frame_is_hashed_to_its_last_byte():
    frames = [b"\x01\x00", b"\x01", b"\x01\x00\x00"]
    assert len(set(digest_of(WAVEFORM, [0, 0, 0], [("ecg_uv", 130.0, 1.0, frame) for frame in frames]))) == 3
