"""ActiGraph counts of raw acceleration, equal to those of the devices' own program.

Neishabouri et al. (2022). Sci Rep 12, 11958. doi:10.1038/s41598-022-16003-x: to 30 Hz, band-pass, sizes below
4 dropped and capped at 128, to 10 Hz, summed. Filter state is carried from sample to sample: nothing is kept
but the counts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter_zi

from features.epochs.epochs import FloatArray
from features.hrv.compiled import compiled
from store.errors import DataError

RATES_HZ = (30, 40, 50, 60, 70, 80, 90, 100)

_FEED = np.array([
    -0.009341062898525, -0.025470289659360, -0.004235264826105, 0.044152415456420,
    0.036493718347760, -0.011893961934740, -0.022917390623150, -0.006788163862310,
])  # fmt: skip
_BACK = np.array([
    1.0, -3.63367395910957, 5.03689812757486, -3.09612247819666,
    0.50620507633883, 0.32421701566682, -0.15685485875559, 0.0194913020589,
])  # fmt: skip
"""The band-pass of ActiGraph's devices at 30 Hz, as published."""

_GAIN = (3.0 / 4096.0) / (2.6 / 256.0) * 237.5
_LEAST, _MOST = 4.0, 128.0


def actigraph_counts(acc_g: NDArray[np.floating[Any]], rate_hz: int, epoch_s: int = 60) -> NDArray[np.int64]:
    """Return the counts of each axis, (k, 3); an incomplete last epoch is left out.

    The low-frequency extension is off. Idle sleep mode and gaps are the caller's: what is fed is one
    uninterrupted stretch.

    Parameters
    ----------
    acc_g : (n, 3) float
        Finite, g.
    rate_hz : int
        Of `RATES_HZ`.
    epoch_s : int
        Whole seconds.

    Raises
    ------
    DataError
        If the rate is another, the shape is wrong, or a value is no finite number.
    """
    if rate_hz not in RATES_HZ:
        raise DataError(f"Counts of {rate_hz} Hz; needed is one of {', '.join(map(str, RATES_HZ))} Hz")
    if acc_g.ndim != 2 or acc_g.shape[1] != 3 or not np.isfinite(acc_g).all():
        raise DataError(f"Counts of acceleration {acc_g.shape}; needed are three columns of finite numbers")
    if not len(acc_g):
        return np.zeros((0, 3), np.int64)
    up = 1 if rate_hz in (30, 60, 90) else 3
    down = rate_hz * up // 30
    out = np.zeros((-(-len(acc_g) * up // down) // (epoch_s * 30), 3), np.int64)
    first = np.array([_first_at_30_hz(float(v), rate_hz, up) for v in acc_g[0]])
    state = lfilter_zi(_FEED, _BACK)[:, None] * first
    _count_kernel(
        np.ascontiguousarray(acc_g), up, down, epoch_s * 30, np.ascontiguousarray(state), _FEED, _BACK, out
    )
    return out


def _first_at_30_hz(value_g: float, rate_hz: int, up: int) -> float:
    if rate_hz == 30 or up == 1:
        return float(np.round(value_g, 3))
    return float(np.round(np.pi / (np.pi + 2 * up) * up * value_g, 3))


@compiled
def _count_kernel(  # noqa: PLR0913, PLR0917 - one pass over its arrays
    acc_g: NDArray[np.floating[Any]],
    up: int,
    down: int,
    per_epoch: int,
    state: FloatArray,
    feed: FloatArray,
    back: FloatArray,
    out: NDArray[np.int64],
) -> None:
    gain = np.pi / (np.pi + 2 * up) * up
    keep = -((np.pi - 2 * up) / (np.pi + 2 * up))
    for axis in range(3):
        z0, z1, z2, z3, z4, z5, z6 = state[:, axis]
        low, before, phase, third, total = 0.0, 0.0, 0, 0.0, 0
        made = 0
        limit = len(out) * per_epoch
        for i in range(len(acc_g)):
            value = float(acc_g[i, axis])
            for part in range(up):
                raised = value if part == 0 else 0.0
                if up > 1:
                    low = gain * (raised + before) + keep * low
                    before = raised
                else:
                    low = raised
                is_taken = phase == 0
                phase = 0 if phase + 1 == down else phase + 1
                if not is_taken or made == limit:
                    continue
                x = np.rint(low * 1000.0) / 1000.0
                y = z0 + feed[0] * x
                z0 = z1 + x * feed[1] - y * back[1]
                z1 = z2 + x * feed[2] - y * back[2]
                z2 = z3 + x * feed[3] - y * back[3]
                z3 = z4 + x * feed[4] - y * back[4]
                z4 = z5 + x * feed[5] - y * back[5]
                z5 = z6 + x * feed[6] - y * back[6]
                z6 = x * feed[7] - y * back[7]
                size = abs(_GAIN * y)
                third += 0.0 if size < _LEAST else np.floor(min(size, _MOST))
                made += 1
                if made % 3 == 0:
                    total += int(third) // 3
                    third = 0.0
                    if made % per_epoch == 0:
                        out[made // per_epoch - 1, axis] = total
                        total = 0
