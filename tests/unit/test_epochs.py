"""Epochs hold what their definitions say, and do not depend on how the samples came."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.epochs import EPOCH_NS, EpochMaker, Epochs, EpochState, activity_epochs
from store.streams import ACTIVITY_EPOCH
from store.units import NS_PER_S

START_NS = 1_767_643_200 * NS_PER_S
NAMES = ACTIVITY_EPOCH.column_names()


def moving(seconds: float, rate_hz: float = 50.0, begin_s: float = 0.0, seed: int = 0):
    """Return (t_ns, acc_g, period_s) of a wrist that turns and shakes."""
    random = np.random.default_rng(seed)
    count = int(seconds * rate_hz)
    t_s = begin_s + np.arange(count) / rate_hz
    turn = 0.4 * np.sin(t_s / 7)
    acc = np.column_stack([np.sin(turn), np.full(count, 0.1), np.cos(turn)])
    acc += random.normal(0, 0.02 + 0.2 * (np.sin(t_s / 11) > 0.5)[:, None], (count, 3))
    t_ns = START_NS + (t_s * NS_PER_S).astype(np.int64)
    return t_ns, acc.astype(np.float32), np.full(count, 1 / rate_hz)


def by_hand(acc_g: NDArray[np.float32]) -> dict[str, float]:
    """One epoch, sample by sample, from the words of the definitions."""
    samples = [[float(value) for value in row] for row in acc_g]
    norms = [math.sqrt(sum(value**2 for value in row)) for row in samples]
    mean = sum(norms) / len(norms)
    x, y, z = ([row[axis] for row in samples] for axis in range(3))
    middle = [float(np.median(axis)) for axis in (x, y, z)]
    spreads = [
        math.sqrt(sum((v - sum(axis) / len(axis)) ** 2 for v in axis) / len(axis)) for axis in (x, y, z)
    ]
    return {
        "epoch_s": 5.0,
        "enmo_mg": 1000 * sum(max(norm - 1, 0) for norm in norms) / len(norms),
        "mad_mg": 1000 * sum(abs(norm - mean) for norm in norms) / len(norms),
        "z_angle_deg": math.degrees(math.atan(middle[2] / math.sqrt(middle[0] ** 2 + middle[1] ** 2))),
        "sd_mg": 1000 * max(spreads),
        "counts": math.nan,
        "sample_count": float(len(samples)),
    }


def test_epochs_are_what_their_definitions_say():
    t_ns, acc_g, period_s = moving(60)
    epochs = activity_epochs(t_ns, acc_g, period_s)
    assert epochs.start_ns.tolist() == [START_NS + k * EPOCH_NS for k in range(12)]
    for k in range(12):
        wanted = by_hand(acc_g[250 * k : 250 * (k + 1)])
        assert dict(zip(NAMES, epochs.columns[k], strict=True)) == pytest.approx(
            wanted, nan_ok=True, rel=1e-9
        )


@pytest.mark.parametrize(
    ("acc_g", "enmo_mg", "angle_deg"),
    [
        ([0, 0, 1], 0, 90),
        ([0, 0, -1], 0, -90),
        ([1, 0, 0], 0, 0),
        ([0, 2, 0], 1000, 0),
        ([1, 0, 1], 414.2136, 45),
    ],
)
def test_wearable_at_rest(acc_g: list[float], enmo_mg: float, angle_deg: float):
    t_ns, _, period_s = moving(5)
    epochs = activity_epochs(t_ns, np.tile(np.array(acc_g, float), (250, 1)), period_s)
    row = dict(zip(NAMES, epochs.columns[0], strict=True))
    assert row["enmo_mg"] == pytest.approx(enmo_mg)
    assert row["z_angle_deg"] == pytest.approx(angle_deg)
    assert (row["mad_mg"], row["sd_mg"]) == pytest.approx((0, 0), abs=1e-9)


def test_epochs_begin_at_multiples_of_five_seconds():
    t_ns, acc_g, period_s = moving(20, begin_s=3.0)
    epochs = activity_epochs(t_ns, acc_g, period_s)
    assert (epochs.start_ns % EPOCH_NS == 0).all()
    assert epochs.columns[:, -1].tolist() == [250.0, 250.0, 250.0, 150.0]


def test_half_an_epoch_is_enough_and_less_is_missing():
    t_ns, acc_g, period_s = moving(5)
    assert len(activity_epochs(t_ns[:125], acc_g[:125], period_s[:125]).start_ns) == 1
    assert len(activity_epochs(t_ns[:124], acc_g[:124], period_s[:124]).start_ns) == 0
    assert len(activity_epochs(t_ns[:0], acc_g[:0], period_s[:0]).start_ns) == 0


def test_share_is_of_time_and_not_of_samples():
    t_ns, acc_g, period_s = moving(5)
    assert len(activity_epochs(t_ns[::5], acc_g[::5], period_s[::5] * 5).start_ns) == 1
    assert len(activity_epochs(t_ns[::5], acc_g[::5], period_s[::5]).start_ns) == 0


def fed(maker: EpochMaker, t_ns, acc_g, cuts: list[int]) -> list[Epochs]:
    edges = [0, *sorted(cuts), len(t_ns)]
    pieces = [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]
    return [maker.feed(t_ns[piece], acc_g[piece], 0.02) for piece in pieces]


def joined(parts: list[Epochs]) -> tuple[list[int], list[list[float]]]:
    starts = np.concatenate([part.start_ns for part in parts])
    columns = np.vstack([part.columns for part in parts])
    return starts.tolist(), np.nan_to_num(columns, nan=-1).tolist()


@given(st.lists(st.integers(1, 1999), max_size=40, unique=True), st.floats(0, 5))
def test_frames_of_any_size_give_the_same_epochs(cuts: list[int], begin_s: float):
    t_ns, acc_g, period_s = moving(40, begin_s=begin_s)
    maker = EpochMaker()
    parts = [*fed(maker, t_ns, acc_g, cuts), maker.close()]
    assert joined(parts) == joined([activity_epochs(t_ns, acc_g, period_s)])


@given(st.lists(st.integers(1, 1999), min_size=1, max_size=40, unique=True), st.data())
def test_taken_up_from_a_saved_state_the_epochs_are_the_same_bit_by_bit(cuts: list[int], data: st.DataObject):
    t_ns, acc_g, _ = moving(40, begin_s=1.3)
    edges = [0, *sorted(cuts), 2000]
    killed_after = data.draw(st.integers(1, len(edges) - 1))
    maker, state, settled, out = EpochMaker(), EpochState.from_json(EpochMaker().state.as_json()), 0, []
    for number in range(1, killed_after + 1):
        piece = slice(edges[number - 1], edges[number])
        epochs = maker.feed(t_ns[piece], acc_g[piece], 0.02)
        if not maker.is_holding:
            out.append(epochs)
            settled = number
            state = EpochState.from_json(json.loads(json.dumps(maker.state.as_json())))
    again = EpochMaker(state)
    for number in range(settled + 1, len(edges)):
        piece = slice(edges[number - 1], edges[number])
        out.append(again.feed(t_ns[piece], acc_g[piece], 0.02))
    whole = EpochMaker()
    assert joined([*out, again.close()]) == joined([*fed(whole, t_ns, acc_g, cuts), whole.close()])


def test_link_that_ends_within_an_epoch_decides_it_once():
    t_ns, acc_g, _ = moving(20)
    maker = EpochMaker()
    early = [maker.feed(t_ns[:350], acc_g[:350], 0.02), maker.close()]
    assert joined(early)[0] == [START_NS]
    late = [maker.feed(t_ns[350:], acc_g[350:], 0.02), maker.close()]
    assert joined(late)[0] == [START_NS + 2 * EPOCH_NS, START_NS + 3 * EPOCH_NS]
    maker = EpochMaker()
    assert joined([maker.feed(t_ns[:400], acc_g[:400], 0.02), maker.close()])[0] == [
        START_NS,
        START_NS + EPOCH_NS,
    ]
    assert joined([maker.feed(t_ns[400:600], acc_g[400:600], 0.02)])[0] == []


def test_clock_set_back_replaces_the_epochs_of_the_wrong_time():
    t_ns, acc_g, _ = moving(40)
    maker = EpochMaker()
    maker.feed(t_ns, acc_g, 0.02)
    again = joined([maker.feed(t_ns[:600] - 3600 * NS_PER_S, acc_g[:600], 0.02), maker.close()])
    hour_ns = 3600 * NS_PER_S
    assert again[0] == [START_NS + 7 * EPOCH_NS, *(START_NS - hour_ns + k * EPOCH_NS for k in (0, 1))]


def test_gap_makes_no_epochs():
    t_ns, acc_g, _ = moving(20)
    maker = EpochMaker()
    maker.feed(t_ns, acc_g, 0.02)
    later = maker.feed(t_ns + 3600 * NS_PER_S, acc_g, 0.02)
    assert later.start_ns.tolist() == [
        START_NS + 3 * EPOCH_NS, *(START_NS + 3600 * NS_PER_S + k * EPOCH_NS for k in range(3))
    ]  # fmt: skip
