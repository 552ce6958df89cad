"""Intensity gradient: how minutes thin out as intensity rises.

Rowlands et al. (2018). Med Sci Sports Exerc 50, 1323-1332. doi:10.1249/MSS.0000000000001561
"""

import numpy as np

from features.epochs.epochs import FloatArray

_EDGES_MG = np.append(np.arange(0, 4001, 25.0), 8000.0)
_MIDDLES_MG = (_EDGES_MG[:-1] + _EDGES_MG[1:]) / 2


def intensity_gradient(enmo_mg: FloatArray, minutes: float) -> tuple[float, float, float]:
    """Return slope, intercept and R2 of ln(minutes) on ln(mg) over the bins that hold any time.

    Parameters
    ----------
    enmo_mg : (n,) float64
        Finite, >= 0; one day or days of alike length.
    minutes : float
        Length of an epoch.

    Returns
    -------
    tuple of float
        NaN with fewer than three bins.
    """
    held = np.histogram(enmo_mg, _EDGES_MG)[0] * minutes
    used = held > 0
    if used.sum() < 3:
        return np.nan, np.nan, np.nan
    x, y = np.log(_MIDDLES_MG[used]), np.log(held[used])
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    r2 = float((dx @ dy) ** 2 / ((dx @ dx) * (dy @ dy))) if dy.any() else np.nan
    return slope, float(y.mean() - slope * x.mean()), r2
