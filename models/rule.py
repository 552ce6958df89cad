"""The first flag rule: most of the last nights beyond the same side of a person's own band."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from configs.settings import FlagSettings, settings_hash
from features.nights import Nights
from features.specs import spec_named
from models.baseline import Band, personal_band
from store.types import Contribution, Flag

DETECTOR_ID = "nights-outside-band/1"
JUDGED_FEATURES = ("rmssd_ms", "mean_hr_bpm")
CLEARED_NIGHTS = 2
"""A flag may be raised again only after no more than 2 of the judged nights were outside."""
REFRACTORY_DAYS = 7
"""One change is one flag: repeated reminders of the same thing teach people to ignore them
(Ancker 2017, doi:10.1186/s12911-017-0430-8)."""

Direction = Literal["above", "below"]


def flags_of(nights: Nights, settings: FlagSettings) -> list[Flag]:
    """Return every flag of a person, oldest first.

    A flag is raised on the first night on which a feature was outside the personal band, on the same side,
    on at least `nights_outside` of the last `judged_nights`. It uses that night and earlier ones only.

    Parameters
    ----------
    nights : Nights
    settings : FlagSettings
    """
    if not len(nights):
        return []
    bands = judged_bands(nights, settings)
    counts = {
        (name, direction): _outside_counts(band, direction, settings)
        for name, band in bands.items()
        for direction in get_args(Direction)
    }
    worst = np.max(list(counts.values()), axis=0)
    return [
        _flag(nights, at, bands, {key: int(count[at]) for key, count in counts.items()}, settings)
        for at in _onsets(worst, settings)
    ]


def judged_bands(nights: Nights, settings: FlagSettings) -> dict[str, Band]:
    """Return the personal band of every feature that the rule judges."""
    return {name: _band(nights, name, settings) for name in JUDGED_FEATURES}


def _band(nights: Nights, name: str, settings: FlagSettings) -> Band:
    return personal_band(nights.values[name], is_log_scaled=spec_named(name).is_log_scaled, settings=settings)


def is_outside(band: Band, direction: Direction, settings: FlagSettings) -> NDArray[np.bool_]:
    """Say for each night (n,) whether it lies beyond that side of the band; False where that is unknown."""
    signed = band.z if direction == "above" else -band.z
    return np.nan_to_num(signed, nan=0.0) > settings.band_sd


def _outside_counts(band: Band, direction: Direction, settings: FlagSettings) -> NDArray[np.intp]:
    total = np.concatenate([[0], np.cumsum(is_outside(band, direction, settings))])
    end = np.arange(1, len(total))
    return total[end] - total[np.maximum(end - settings.judged_nights, 0)]


def _onsets(worst: NDArray[np.intp], settings: FlagSettings) -> list[int]:
    onsets: list[int] = []
    is_armed = True
    for at, count in enumerate(worst.tolist()):
        if count <= CLEARED_NIGHTS:
            is_armed = True
        is_rested = not onsets or at - onsets[-1] >= REFRACTORY_DAYS
        if count >= settings.nights_outside and is_armed and is_rested:
            onsets.append(at)
            is_armed = False
    return onsets


def _flag(
    nights: Nights,
    at: int,
    bands: dict[str, Band],
    counts: dict[tuple[str, Direction], int],
    settings: FlagSettings,
) -> Flag:
    first = max(0, at + 1 - settings.judged_nights)
    ranked = sorted(counts, key=lambda key: (-counts[key], JUDGED_FEATURES.index(key[0])))
    leading, direction = ranked[0]
    outside = np.flatnonzero(is_outside(bands[leading], direction, settings)[first : at + 1])
    judged_nights = range(first, at + 1)
    raised = [key for key in ranked if counts[key] > CLEARED_NIGHTS]
    contributions = tuple(
        _contribution(nights, name, bands[name], side, judged_nights, settings) for name, side in raised
    )
    judged = np.isfinite(bands[leading].z[first : at + 1])
    since = nights.nights[first + int(outside[0])]
    return Flag(
        subject_id=nights.subject_id,
        night=nights.nights[at],
        since=since,
        score=float(counts[leading, direction]),
        threshold=float(settings.nights_outside),
        direction=direction,
        contributions=contributions,
        coverage_frac=float(judged.mean()),
        detector_id=DETECTOR_ID,
        config_hash=settings_hash(settings),
        reason="; ".join(map(_sentence, contributions)),
    )


def _contribution(
    nights: Nights, name: str, band: Band, side: Direction, judged: range, settings: FlagSettings
) -> Contribution:
    """Describe the nights outside on one side: their median, and the band of the newest of them."""
    outside = judged.start + np.flatnonzero(is_outside(band, side, settings)[judged.start : judged.stop])
    newest = int(outside[-1])
    return Contribution(
        feature=name,
        value=float(np.median(nights.values[name][outside])),
        usual=float(band.usual[newest]),
        low=float(band.low[newest]),
        high=float(band.high[newest]),
        z=float(np.median(band.z[outside])),
        nights_outside=len(outside),
        nights_judged=int(np.isfinite(band.z[judged.start : judged.stop]).sum()),
    )


def _sentence(c: Contribution) -> str:
    spec = spec_named(c.feature)
    side = "above" if c.z > 0 else "below"
    return (
        f"{spec.label} {side} own band on {c.nights_outside} of {c.nights_judged} nights "
        f"(median of these {c.value:.0f} {spec.unit}, usual {c.usual:.0f}, band {c.low:.0f}-{c.high:.0f})"
    )
