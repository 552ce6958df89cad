"""A wearable's clock is followed within a few milliseconds, whatever clocks, links and hosts do."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.device_clock import DeviceClock
from ingest.frame_times import FrameTimes
from store.units import NS_PER_MS, NS_PER_S

WALL_NS = 1_767_643_200 * NS_PER_S
DEVICE_NS = 1_546_300_800 * NS_PER_S  # a strap that lost its time says 2019
RATE_HZ, COUNT = 50, 36


class Strap:
    """Frames of 36 samples, with the true time of each frame's last sample, and how they arrive."""

    def __init__(
        self, minutes: float, *, drift_ppm: float = 0.0, rate_hz: float = RATE_HZ, seed: int = 1
    ) -> None:
        random = np.random.default_rng(seed)
        frames = int(minutes * 60 * rate_hz / COUNT)
        self.true_ns = (np.arange(1, frames + 1) * COUNT / rate_hz * NS_PER_S).astype(np.int64)
        self.device_ns = DEVICE_NS + (self.true_ns * (1 + drift_ppm * 1e-6)).astype(np.int64)
        # A frame waits for the next connection event (50 ms apart), some for several; the order is kept.
        delay_s = random.uniform(0, 0.05, frames) + random.exponential(0.02, frames)
        hung = random.random(frames) < 0.01
        delay_s[hung] += random.uniform(0.5, 3, int(hung.sum()))
        self.mono_ns = np.maximum.accumulate(self.true_ns + (delay_s * NS_PER_S).astype(np.int64))
        self.wall_ns = self.mono_ns + WALL_NS

    def placed(self) -> NDArray[np.int64]:
        """Times of all samples, (frames, 36)."""
        times = FrameTimes()
        rows: list[NDArray[np.int64]] = []
        frames = zip(self.wall_ns.tolist(), self.mono_ns.tolist(), self.device_ns.tolist(), strict=True)
        for wall_ns, mono_ns, device_ns in frames:
            times, t_ns = times.placed(wall_ns, mono_ns, device_ns, COUNT, RATE_HZ)
            times = FrameTimes.from_json(json.loads(json.dumps(times.as_json())))
            rows.append(t_ns)
        return np.array(rows)

    def error_ms(self, placed: NDArray[np.int64]) -> NDArray[np.float64]:
        return (placed[:, -1] - self.true_ns - WALL_NS) / NS_PER_MS


@pytest.mark.parametrize("drift_ppm", [-50, 0, 50])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_drifting_clock_is_followed(drift_ppm: float, seed: int):
    strap = Strap(40, drift_ppm=drift_ppm, seed=seed)
    placed = strap.placed()
    error_ms = strap.error_ms(placed)
    assert np.abs(error_ms[strap.true_ns > 30 * NS_PER_S]).max() < 20
    assert np.abs(error_ms[strap.true_ns > 600 * NS_PER_S]).max() < 12
    assert (np.diff(placed.ravel()) > 0).all()


def test_first_frames_are_wrong_by_no_more_than_their_delay():
    for seed in range(20):
        strap = Strap(0.5, seed=seed)
        late_ms = (strap.mono_ns - strap.true_ns) / NS_PER_MS
        error_ms = strap.error_ms(strap.placed())
        assert error_ms.min() >= -0.01
        assert error_ms.max() <= max(late_ms[0], 1) + 0.01


@pytest.mark.parametrize("rate_hz", [47.9, 51.7])
def test_rate_that_is_not_nominal_neither_drifts_nor_jumps(rate_hz: float):
    strap = Strap(20, rate_hz=rate_hz)
    placed = strap.placed()
    assert np.abs(strap.error_ms(placed)[60:]).max() < 20
    steps_ms = np.diff(placed.ravel())[60 * COUNT :] / NS_PER_MS
    assert np.abs(steps_ms - 1000 / rate_hz).max() < 1.5


@pytest.mark.parametrize("jump_s", [-200_000_000.0, 3600.0, -30.0, 0.6])
def test_clock_of_the_wearable_that_is_set_begins_a_new_fit(jump_s: float):
    strap = Strap(20, drift_ppm=30)
    late = strap.true_ns > 600 * NS_PER_S
    strap.device_ns[late] += round(jump_s * NS_PER_S)
    placed = strap.placed()
    error_ms = strap.error_ms(placed)
    assert np.abs(error_ms[strap.true_ns > 660 * NS_PER_S]).max() < 20
    assert (np.diff(placed.ravel()) > 0).all()


def test_clock_set_back_a_little_is_noticed_within_two_minutes():
    strap = Strap(20)
    strap.device_ns[strap.true_ns > 600 * NS_PER_S] -= 700 * NS_PER_MS
    error_ms = strap.error_ms(strap.placed())
    assert np.abs(error_ms[strap.true_ns > 730 * NS_PER_S]).max() < 20


@pytest.mark.parametrize("step_s", [-7200.0, -2.0, -0.4, 0.4, 2.0, 7200.0])
def test_wall_clock_that_is_set_moves_the_samples_and_not_the_fit(step_s: float):
    strap = Strap(20)
    late = strap.true_ns > 600 * NS_PER_S
    strap.wall_ns[late] += round(step_s * NS_PER_S)
    error_ms = strap.error_ms(strap.placed()) - np.where(late, step_s * 1000, 0)
    assert np.abs(error_ms[(strap.true_ns > 60 * NS_PER_S) & ~late]).max() < 20
    assert np.abs(error_ms[strap.true_ns > 610 * NS_PER_S]).max() < 20


def test_suspended_host_keeps_the_samples_at_wall_time():
    strap = Strap(20)
    late = strap.true_ns > 600 * NS_PER_S
    slept = (strap.true_ns > 500 * NS_PER_S) & ~late
    strap.mono_ns[late] -= 100 * NS_PER_S
    for name in ("true_ns", "device_ns", "mono_ns", "wall_ns"):
        setattr(strap, name, getattr(strap, name)[~slept])
    assert np.abs(strap.error_ms(strap.placed())[200:]).max() < 120


def test_gap_in_the_frames_stays_a_gap():
    strap = Strap(10)
    kept = (strap.true_ns < 200 * NS_PER_S) | (strap.true_ns > 260 * NS_PER_S)
    for name in ("true_ns", "device_ns", "mono_ns", "wall_ns"):
        setattr(strap, name, getattr(strap, name)[kept])
    steps_s = np.diff(strap.placed().ravel()) / NS_PER_S
    assert (steps_s > 1).sum() == 1
    assert steps_s.max() == pytest.approx(60, abs=1)


def test_reboot_of_the_host_begins_a_new_fit():
    clock = DeviceClock().fed(DEVICE_NS, 5 * NS_PER_S)
    again = clock.fed(DEVICE_NS + 90 * NS_PER_S, 2 * NS_PER_S)
    assert again.points == ((DEVICE_NS + 90 * NS_PER_S, -88 * NS_PER_S - DEVICE_NS),)


def by_arrival(arrivals_s: list[float], count: int = 1, rate_hz: float = 10.0) -> NDArray[np.float64]:
    times, rows = FrameTimes(), []
    for at_s in arrivals_s:
        mono_ns = round(at_s * NS_PER_S)
        times, t_ns = times.placed(WALL_NS + mono_ns, mono_ns, None, count, rate_hz)
        rows.append(t_ns)
    t_ns = np.concatenate(rows)
    assert (np.diff(t_ns) > 0).all()
    return (t_ns - WALL_NS) / NS_PER_S


def test_without_a_clock_arrival_counts():
    assert by_arrival([1.0], 5) == pytest.approx([0.6, 0.7, 0.8, 0.9, 1.0])
    assert by_arrival([1.0, 1.5], 5)[5:] == pytest.approx([1.1, 1.2, 1.3, 1.4, 1.5])
    assert by_arrival([1.0, 11.0], 5)[5:] == pytest.approx([10.6, 10.7, 10.8, 10.9, 11.0])


@pytest.mark.parametrize("true_hz", [4.0, 9.0, 10.0, 12.5])
def test_without_a_clock_a_wrong_rate_does_not_drift(true_hz: float):
    arrivals_s = np.arange(1, 20_000) / true_hz
    placed_s = by_arrival(arrivals_s.tolist())
    assert np.abs(placed_s - arrivals_s).max() < 1 / true_hz


def test_without_a_clock_a_burst_is_not_put_into_the_future():
    arrivals_s = [*np.arange(1, 50) / 10, *[7.0] * 22, *np.arange(71, 90) / 10]
    placed_s = by_arrival(arrivals_s)
    assert (placed_s <= np.array(arrivals_s) + 1e-6).all()


def test_clock_that_was_set_back_does_not_squeeze_what_follows():
    times, _ = FrameTimes().placed(WALL_NS, 0, None, 5, 10.0)
    _, t_ns = times.placed(WALL_NS - 3600 * NS_PER_S, NS_PER_S, None, 5, 10.0)
    assert t_ns[-1] == WALL_NS - 3600 * NS_PER_S
