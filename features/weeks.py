"""What depends on several nights: values of the seven nights up to each, from the rows of those nights.

Every such value looks back only, at no more than `NIGHTS_BACK` rows before its own. So a night that changes
changes these values of at most as many nights after it, and of none before; `features.plan` relies on it.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from features.movement.night_minutes import MINUTES_STREAM, NightMinutes, minutes_of_samples
from features.movement.week import WeekNight, week_of
from features.night_inputs import NIGHTS_BACK, NS_PER_DAY
from features.night_span import night_key_ns
from features.nights import (
    NIGHT_STREAM,
    NO_RR,
    NightRow,
    night_of_key,
    with_values,
    with_week,
)
from features.nocturnal import week_values
from store.timeseries import Samples, TimeSeriesStore

_CLOCK_TIMES = ("onset_h", "offset_h", "midpoint_h")


def with_weeks(store: TimeSeriesStore, subject_id: str, rows: Sequence[NightRow]) -> list[NightRow]:
    """Return the rows, ascending, with the values of the seven nights up to each.

    Rows of other nights come from the store.
    """
    first_ns, last_ns = night_key_ns(rows[0].night), night_key_ns(rows[-1].night)
    held = store.read(NIGHT_STREAM, subject_id, first_ns - NIGHTS_BACK * NS_PER_DAY, last_ns)
    made_by = zip(held["source_sensor"].tolist(), held["ln_rmssd"].tolist(), strict=True)
    by_night: dict[int, tuple[str, float]] = dict(zip(held.t_ns.tolist(), made_by, strict=True))
    nights = _stored_nights(store, subject_id, held)
    completed: list[NightRow] = []
    for row in rows:
        key_ns = night_key_ns(row.night)
        by_night[key_ns] = (row.source_sensor, row.values["ln_rmssd"])
        met = [by_night.get(key_ns - k * NS_PER_DAY, ("", np.nan)) for k in range(NIGHTS_BACK, -1, -1)]
        # Sensors differ in how they see the same heart: a week is of one.
        week = [value if sensor == row.source_sensor else np.nan for sensor, value in met]
        values, why = week_values(week, row.source_sensor)
        done = with_values(row, (values, why if row.source_sensor else dict.fromkeys(why, NO_RR)))
        if row.movement.minutes is not None:
            nights[key_ns] = _week_night(
                row.night, row.zone, row.movement.minutes, row.movement.sleep_source, row.values
            )
            seen = (nights.get(key_ns - k * NS_PER_DAY) for k in range(NIGHTS_BACK, -1, -1))
            done = with_week(done, week_of([night for night in seen if night is not None]))
        completed.append(done)
    return completed


def _stored_nights(store: TimeSeriesStore, subject_id: str, rows: Samples) -> dict[int, WeekNight]:
    """Return nights that have a row, by the time they are stored under."""
    if not len(rows):
        return {}
    first_ns, last_ns = int(rows.t_ns[0]), int(rows.t_ns[-1])
    held = minutes_of_samples(store.read(MINUTES_STREAM, subject_id, first_ns, last_ns + 1))
    minutes = {each.key_ns: each for each in held}
    return {
        key_ns: _week_night(
            night_of_key(key_ns),
            str(rows["zone"][k]),
            minutes[key_ns],
            str(rows["sleep_source"][k]),
            {name: float(rows[name][k]) for name in _CLOCK_TIMES},
        )
        for k, key_ns in enumerate(rows.t_ns.tolist())
        if key_ns in minutes
    }


def _week_night(
    night: date, zone: str, minutes: NightMinutes, source: str, values: Mapping[str, float]
) -> WeekNight:
    return WeekNight(night, zone, minutes, source, *(values[name] for name in _CLOCK_TIMES))
