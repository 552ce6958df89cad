"""A person's own normal: median and spread of earlier nights, lagged so that no slow change hides itself."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from configs.settings import FlagSettings
from models.sensors import Led

MAD_TO_SD = 1.4826
"""The median absolute deviation of a normal distribution is 1/1.4826 of its standard deviation."""
MIN_SPREAD_FRAC = 0.03
"""No body repeats itself to 3 %; a smaller spread comes from few nights and would flag trifles."""


@dataclass(frozen=True)
class Band:
    """The personal band of one feature, night by night.

    Attributes
    ----------
    usual, low, high : (n,) float64
        Median and band, in the feature's unit; NaN while learning.
    z : (n,) float64
        Distance from usual in robust SD, positive above; NaN while learning or without a value.
    valid_nights : (n,) int
        Nights with a value that the baseline of each night rests on.
    """

    usual: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    z: NDArray[np.float64]
    valid_nights: NDArray[np.intp]


def band_of_leader(
    values: NDArray[np.float64], led: Led, *, is_log_scaled: bool, settings: FlagSettings
) -> Band:
    """Compute the band of every night from earlier nights by the sensor that leads on it.

    Nights by another have no distance, `z`, from it, and go into no baseline; see `personal_band`.
    """
    own = np.where(led.is_other, np.nan, values)
    stretches = np.split(own, np.flatnonzero(np.diff(led.begin)) + 1)
    bands = [personal_band(each, is_log_scaled=is_log_scaled, settings=settings) for each in stretches]
    names = [field.name for field in fields(Band)]
    return Band(**{name: np.concatenate([getattr(band, name) for band in bands]) for name in names})


def personal_band(values: NDArray[np.float64], *, is_log_scaled: bool, settings: FlagSettings) -> Band:
    """Compute the band of every night from earlier nights only.

    The baseline of night i is nights i - gap - length to i - gap - 1: later data never change it, and the
    most recent `gap_days` are left out.

    Parameters
    ----------
    values : (n,) float64
        One value per consecutive night; NaN where there is none.
    is_log_scaled : bool
        Make the baseline of logarithms, so that the band is relative; values of zero or less, which have
        none, then count as missing.
    settings : FlagSettings
        `baseline_days`, `gap_days`, `min_valid_nights` and `band_sd`.
    """
    scaled = _log(values) if is_log_scaled else np.asarray(values, np.float64)
    lead = np.full(settings.baseline_days + settings.gap_days, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([lead, scaled]), settings.baseline_days)
    windows = windows[: len(scaled)]
    valid_nights = np.isfinite(windows).sum(axis=1)
    is_ready = valid_nights >= settings.min_valid_nights
    usual, spread = np.full(len(scaled), np.nan), np.full(len(scaled), np.nan)
    held, counts = windows[is_ready], valid_nights[is_ready]
    usual[is_ready] = _medians(held, counts)
    spread[is_ready] = MAD_TO_SD * _medians(np.abs(held - usual[is_ready, None]), counts)
    spread = np.maximum(spread, MIN_SPREAD_FRAC * (1.0 if is_log_scaled else np.abs(usual)))
    low, high = usual - settings.band_sd * spread, usual + settings.band_sd * spread
    # Where every night was 0 there is no spread to measure by: any other value is infinitely far.
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(scaled == usual, 0.0, (scaled - usual) / spread)
    if is_log_scaled:
        usual, low, high = np.exp(usual), np.exp(low), np.exp(high)
    return Band(usual, low, high, z, valid_nights)


def _medians(rows: NDArray[np.float64], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the median of each row of `counts` numbers and NaN, several times faster than `nanmedian`."""
    ordered, row = np.sort(rows, axis=1), np.arange(len(rows))
    return (ordered[row, (counts - 1) // 2] + ordered[row, counts // 2]) / 2


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithms = np.full(len(values), np.nan)
    np.log(values, out=logarithms, where=values > 0)
    return logarithms
