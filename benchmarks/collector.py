"""The collector: many wearables, kills, dead links, months.

The full version takes some forty minutes: 200 kills and a virtual day of 50 straps ten each, and as much
the frames thrown at every decoder. `fuzz` and `spool` are tables of their own, of which this one repeats the
crashes.
"""

import tempfile
from pathlib import Path

from benchmarks import endurance, fuzz, kill, load
from benchmarks.table import Row
from tests.power_cuts import Story, cut_everywhere

CPU_GOAL_PCT = 10.0
"""Of one core, for 200 wearables; fewer have no goal."""

BURST_PER_S = 4_000


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` is what the goals are about, the quick version shows that all of it works."""
    return [
        *load.many(50, 60 if is_full else 15),
        *load.many(200, 60 if is_full else 15, cpu_goal_pct=CPU_GOAL_PCT),
        *load.burst(10, BURST_PER_S),
        *kill.kills(200 if is_full else 15),
        *endurance.zombies(100 if is_full else 20),
        *endurance.reconnects(1_000 if is_full else 60),
        *endurance.day(50, 24 if is_full else 1),
        *_power_cuts(12),
        *fuzz.run(is_full=is_full)[-3:],
    ]


def _power_cuts(rounds: int) -> list[Row]:
    """Crash the spool at every step that it takes on the disk; what is lost, repeated or reordered raises."""
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder), rounds=rounds, seed=0)
        cuts = cut_everywhere(story, Path(folder), seed=0)
    steps = len(story.disk.steps)
    return [
        Row(
            f"spool: crashes at each of {steps} writes, syncs, deletions",
            cuts,
            "crashes",
            4 * steps,
            "higher",
        )
    ]
