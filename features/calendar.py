"""Nights up to a date: cut off behind it, or made longer with nights that brought nothing."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from features.nights import Nights


def until_night(nights: Nights, last: date) -> Nights:
    """Return the nights up to `last`."""
    surplus = (nights.nights[-1] - last).days if len(nights) else 0
    if surplus <= 0:
        return nights
    kept = slice(0, max(0, len(nights) - surplus))
    return Nights(
        nights.subject_id,
        nights.nights[kept],
        {name: values[kept] for name, values in nights.values.items()},
        nights.coverage_frac[kept],
        nights.reasons[kept],
        nights.zones[kept],
        nights.heart_sensors[kept],
        nights.movement_sensors[kept],
    )


def through_night(nights: Nights, last: date) -> Nights:
    """Return the nights up to `last`, so that data which stopped coming show as a gap and not as the end.

    A person without any night stays without.
    """
    missing = (last - nights.nights[-1]).days if len(nights) else 0
    if missing <= 0:
        return nights
    lost, unknown = np.full(missing, np.nan), ("",) * missing
    return replace(
        nights,
        nights=(*nights.nights, *(nights.nights[-1] + timedelta(days=k + 1) for k in range(missing))),
        values={name: np.concatenate([values, lost]) for name, values in nights.values.items()},
        coverage_frac=np.concatenate([nights.coverage_frac, lost]),
        reasons=(*nights.reasons, *(["No data received"] * missing)),
        zones=(*nights.zones, *([nights.zones[-1]] * missing)),
        heart_sensors=nights.heart_sensors and (*nights.heart_sensors, *unknown),
        movement_sensors=nights.movement_sensors and (*nights.movement_sensors, *unknown),
    )
