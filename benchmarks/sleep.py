"""Sleep, activity and rhythm beside other packages: first the values, then the time, in one run on one core.

The ten families are four scorers, Roenneberg's periods, SRI, IS with IV, ISm with IVm, L5 with M10 and the
cosinor, over thirty days of minutes; then raw acceleration and counts. Peers run in environments of their
own, made on first use; where one cannot be made its ratios are left out and a line says so.
"""

from benchmarks import movement, sleep_speed
from benchmarks.table import Row

TOGETHER = "ten families together"
_PEER_TAKES = ("pyActigraphy takes", "CosinorPy takes")
_GOAL_TIMES = 200


def run(*, is_full: bool) -> list[Row]:
    """Compare values, then times; `is_full` makes no difference."""
    of_movement = movement.run(is_full=is_full)  # makes the environments that the scorers' peer runs in, too
    of_sleep = sleep_speed.run(is_full=is_full)
    return [*of_sleep, *_together(of_sleep, of_movement), *of_movement]


def _together(of_sleep: list[Row], of_movement: list[Row]) -> list[Row]:
    """Return how much longer peers take for all ten; CosinorPy's week stands for its month."""
    ours_ms, theirs_ms, families = 0.0, 0.0, 0
    for rows in (of_sleep, of_movement):
        held = {row.name: row.value for row in rows}
        for name, value in held.items():
            family, _, what = name.partition(": ")
            if what in _PEER_TAKES:
                ours_ms += held[f"{family}: this"]
                theirs_ms += value * held[f"{family}: this"]
                families += 1
    if families < 10:
        return []
    return [Row(f"{TOGETHER}: peers take", theirs_ms / ours_ms, "times", _GOAL_TIMES, "higher")]
