"""Cosinor: a cosine of 24 h by least squares, in closed form.

Cornelissen (2014). Theor Biol Med Model 11, 16. doi:10.1186/1742-4682-11-16

The period is fixed, so the fit is linear and cannot fail to converge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.epochs.epochs import FloatArray
from features.hrv.compiled import compiled
from features.rhythm.clock_profile import ClockedValues

DAY_H = 24.0
_LEAST = 4
_DUST = 1e-9
"""Spread of this share of the mean is rounding, not rhythm."""


@dataclass(frozen=True, slots=True)
class Cosinor:
    """x = mesor + amplitude cos(2 pi (t - acrophase) / 24 h), t the start of epochs on the local clock.

    Attributes
    ----------
    mesor, amplitude : float
        In the unit of the recording; amplitude >= 0.
    acrophase_h : float
        Clock time of the peak, 0-24.
    r2 : float
        Share of variance explained, 0-1.
    mesor_se, amplitude_se, acrophase_se_h : float
        Standard errors as of independent residuals, which epochs are not: lower bounds.
    n : int
    """

    mesor: float
    amplitude: float
    acrophase_h: float
    r2: float
    mesor_se: float
    amplitude_se: float
    acrophase_se_h: float
    n: int

    @property
    def acrophase_rad(self) -> float:
        """The acrophase as CosinorPy gives it: -2 pi acrophase / 24 h, in (-pi, pi]."""
        angle = -2 * np.pi * self.acrophase_h / DAY_H
        return float(angle + 2 * np.pi if angle <= -np.pi else angle)


def cosinor(values: ClockedValues) -> Cosinor:
    """Fit the values at the starts of their epochs; gaps take no part. NaN with fewer than four values."""
    angle = 2 * np.pi * np.arange(values.per_day) / values.per_day
    return _fitted(_moments(values.x, values.slot, np.cos(angle), np.sin(angle)))


def cosinor_of(t_h: FloatArray, x: FloatArray) -> Cosinor:
    """Fit values (n,) at any times (n,) in hours of the local clock."""
    angle = 2 * np.pi * np.asarray(t_h, np.float64) / DAY_H
    held = np.ascontiguousarray(x, np.float64)
    return _fitted(_moments(held, np.arange(len(held)), np.cos(angle), np.sin(angle)))


@compiled
def _moments(x: FloatArray, slot: NDArray[np.int64], cosine: FloatArray, sine: FloatArray) -> FloatArray:
    """Return n and the mean of x, then sums of 1 c s cc cs ss with x less its mean, and of its square."""
    n, level = 0, 0.0
    for i in range(len(x)):
        if not np.isnan(x[i]):
            n += 1
            level += x[i]
    level = level / n if n else 0.0
    c = s = cc = cs = xc = xs = xx = 0.0
    for i in range(len(x)):
        if np.isnan(x[i]):
            continue
        p, q, d = cosine[slot[i]], sine[slot[i]], x[i] - level
        c += p
        s += q
        cc += p * p
        cs += p * q
        xc += d * p
        xs += d * q
        xx += d * d
    return np.array([n, level, c, s, cc, cs, n - cc, xc, xs, xx])


def _fitted(moments: FloatArray) -> Cosinor:
    n, level, c, s, cc, cs, ss, xc, xs, xx = (float(each) for each in moments)
    nothing = Cosinor(*[np.nan] * 7, n=int(n))
    if n < _LEAST:
        return nothing
    normal = np.array([[n, c, s], [c, cc, cs], [s, cs, ss]])
    if np.linalg.cond(normal) > 1e12:
        return nothing
    inverse = np.linalg.inv(normal)
    m, b, g = (float(each) for each in np.linalg.solve(normal, np.array([0.0, xc, xs])))
    left = max(xx - b * xc - g * xs, 0.0)
    variance = left / (n - 3) * inverse
    is_constant = xx <= n * (_DUST * abs(level)) ** 2
    amplitude = 0.0 if is_constant else float(np.hypot(b, g))
    along = np.array([0.0, b, g]) / amplitude if amplitude else np.full(3, np.nan)
    across = np.array([0.0, -g, b]) / amplitude**2 if amplitude else np.full(3, np.nan)
    return Cosinor(
        mesor=level + m,
        amplitude=amplitude,
        acrophase_h=float(np.arctan2(g, b) * DAY_H / (2 * np.pi) % DAY_H) if amplitude else np.nan,
        r2=np.nan if is_constant else 1 - left / xx,
        mesor_se=float(np.sqrt(variance[0, 0])),
        amplitude_se=float(np.sqrt(along @ variance @ along)),
        acrophase_se_h=float(np.sqrt(across @ variance @ across) * DAY_H / (2 * np.pi)),
        n=int(n),
    )


def phase_shift_h(acrophase_h: FloatArray) -> FloatArray:
    """Return how much later each acrophase is than the day's before, -12 to 12 h, (d,); the first is NaN.

    Examples
    --------
    >>> phase_shift_h(np.array([23.0, 1.0, 0.5])).tolist()
    [nan, 2.0, -0.5]
    """
    change = np.diff(np.asarray(acrophase_h, np.float64), prepend=np.nan)
    return (change + DAY_H / 2) % DAY_H - DAY_H / 2
