"""A live wrist moves as the day of its person has it: the history goes on where it ended."""

import random
from datetime import date

import numpy as np
import pytest

from ingest.decoders.pinetime import COUNTS_PER_G
from ingest.epochs import activity_epochs
from ingest.virtual.air import Air
from ingest.virtual.devices.live_wrist import LOOK_INTERVAL_NS, LiveWrist
from ingest.virtual.movement import MINUTE_NS, movement_of
from ingest.virtual.person import VirtualPerson
from store.clock import VirtualClock

DAY = date(2026, 1, 20)
PERSON = VirtualPerson(7, "Europe/Berlin", missing_frac=0.0)


@pytest.mark.parametrize("busiest", [True, False])
async def test_a_live_minute_is_that_of_the_history(busiest: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    day = movement_of(PERSON, DAY)
    order = np.argsort(np.where(day.is_recorded, day.columns["counts"], 1e9 if not busiest else -1))
    at = int(order[-1] if busiest else order[0])
    start_ns = int(day.start_ns[at])
    wrist = LiveWrist(Air(), "C0:5E:00:00:01:01", PERSON, VirtualClock(start_ns), "evenkeel", "virtual wrist")
    looks: list[tuple[int, int, int]] = []
    monkeypatch.setattr(wrist.watch, "move", looks.append)
    noise = random.Random(1)  # noqa: S311 - a test that can be repeated
    for k in range(600):
        wrist._look(start_ns + k * LOOK_INTERVAL_NS, noise)
    acc_g = np.array(looks, np.float32) / np.float32(COUNTS_PER_G)
    t_ns = start_ns + np.arange(600, dtype=np.int64) * LOOK_INTERVAL_NS
    epochs = activity_epochs(t_ns, acc_g, np.full(600, 0.1))
    enmo_mg, angle = epochs.columns[:, 1].mean(), epochs.columns[:, 3].mean()
    assert enmo_mg == pytest.approx(day.columns["enmo_mg"][at], rel=0.1, abs=2)
    assert angle == pytest.approx(day.columns["z_angle_deg"][at], abs=1)
    assert wrist.watch.steps == day.steps[at]
    assert start_ns % MINUTE_NS == 0
