"""What depends on several nights: values of the seven nights up to each, from the rows of those nights.

Every such value looks back only, at no more than `NIGHTS_BACK` rows before its own. So a night that changes
changes these values of at most as many nights after it, and of none before.
"""

from collections.abc import Sequence

import numpy as np

from features.nights import NIGHT_STREAM, NO_RR, NightRow, night_key_ns, with_values
from features.nocturnal import week_values
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

NIGHTS_BACK = 6
_NS_PER_DAY = 86_400 * NS_PER_S


def with_weeks(store: TimeSeriesStore, subject_id: str, rows: Sequence[NightRow]) -> list[NightRow]:
    """Return the rows, in order, with the values of the seven nights up to each."""
    first_ns = night_key_ns(rows[0].night)
    before = store.read(NIGHT_STREAM, subject_id, first_ns - NIGHTS_BACK * _NS_PER_DAY, first_ns)
    made_by = zip(before["source_sensor"].tolist(), before["ln_rmssd"].tolist(), strict=True)
    by_night: dict[int, tuple[str, float]] = dict(zip(before.t_ns.tolist(), made_by, strict=True))
    completed: list[NightRow] = []
    for row in rows:
        key_ns = night_key_ns(row.night)
        by_night[key_ns] = (row.source_sensor, row.values["ln_rmssd"])
        met = [by_night.get(key_ns - k * _NS_PER_DAY, ("", np.nan)) for k in range(NIGHTS_BACK, -1, -1)]
        # Sensors differ in how they see the same heart: a week is of one.
        week = [value if sensor == row.source_sensor else np.nan for sensor, value in met]
        values, why = week_values(week, row.source_sensor)
        completed.append(with_values(row, (values, why if row.source_sensor else dict.fromkeys(why, NO_RR))))
    return completed
