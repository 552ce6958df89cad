"""The newest nights of a person as the list draws them: a letter each, drawn by the browser."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dashboard.markers import Series

DRAWN_NIGHTS = 28
SPARKLINES = (("hrv", "HRV"), ("sleep", "Sleep"), ("activity", "Activity"), ("heart", "Resting heart"))
LIMIT_Z = 3.5
"""Further from usual than this is drawn at the edge."""
_STEPS = 35
"""Of the whole height, each 0.6 of a pixel. The edges of the band, 2 robust SD, lie between two steps, so
that no night changes sides by rounding."""
_FIRST_CODE = 35
"""`#`: from here on printable letters stand for values; a blank is a missing night."""


def drawn(series: Mapping[str, Series], coverage_frac: NDArray[np.float64]) -> Mapping[str, str]:
    """Return the drawn cells of a person's row: each sparkline, and the recorded share as `coverage`."""
    lines = {key: drawn_z(series.get(key)) for key, _ in SPARKLINES}
    return {**lines, "coverage": drawn_shares(coverage_frac)}


def drawn_z(series: Series | None) -> str:
    """Return the newest nights, a letter each: the distance from usual in robust SD, blank without.

    A night by another sensor than that of the band is blank, too. Without an own band the distance is from
    the person's own median so far; the first letter says from which night on there is a band.
    """
    if series is None:
        return ""
    values, z = (_padded(each) for each in (series.own, series.band.z))
    has_band = np.isfinite(_padded(series.band.usual))
    known = values[np.isfinite(values)]
    if not len(known):
        return ""
    if not has_band.all():
        middle = float(np.median(known))
        spread = max(1.4826 * float(np.median(np.abs(known - middle))), 0.03 * abs(middle), 1e-9)
        z = np.where(has_band, z, (values - middle) / spread)
    begin = int(np.argmax(has_band)) if has_band.any() else DRAWN_NIGHTS
    return chr(_FIRST_CODE + begin) + _letters(np.where(np.isfinite(values), z, np.nan))


def _letters(z: NDArray[np.float64]) -> str:
    """Return z as letters, `LIMIT_Z` and beyond as the first and the last."""
    steps = np.rint((np.clip(np.nan_to_num(z), -LIMIT_Z, LIMIT_Z) + LIMIT_Z) * _STEPS / (2 * LIMIT_Z))
    codes = np.where(np.isnan(z), ord(" "), steps + _FIRST_CODE).astype(np.uint8)
    return codes.tobytes().decode("ascii")


def drawn_shares(coverage_frac: NDArray[np.float64]) -> str:
    """Return the recorded share of the newest nights, a digit each; blank before the first night.

    >>> drawn_shares(np.array([0.99, np.nan]))[-3:]
    ' 90'
    """
    recent = np.nan_to_num(coverage_frac[-DRAWN_NIGHTS:])
    return "".join(str(int(share * 9.99)) for share in recent.clip(0, 1).tolist()).rjust(DRAWN_NIGHTS)


def _padded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the newest nights (n,), as many as are drawn: those before the first are missing."""
    recent = values[-DRAWN_NIGHTS:]
    return np.concatenate([np.full(DRAWN_NIGHTS - len(recent), np.nan), recent])
