"""Raw acceleration to epochs: ENMO, MAD, angle, spread and range in one pass, autocalibration, wear.

References
----------
van Hees et al. (2013). PLoS ONE 8, e61691. doi:10.1371/journal.pone.0061691 (ENMO, wear)
van Hees et al. (2014). J Appl Physiol 117, 738-744. doi:10.1152/japplphysiol.00421.2014 (autocalibration)
van Hees et al. (2015). PLoS ONE 10, e0142533. doi:10.1371/journal.pone.0142533 (angle)
Vähä-Ypyä et al. (2015). Clin Physiol Funct Imaging 35, 64-70. doi:10.1111/cpf.12127 (MAD)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.epochs.epochs import Epochs, FloatArray
from features.epochs.recorded import counted_times
from features.epochs.wear import STILL_RANGE_MG, STILL_SD_MG, windows_not_worn
from features.hrv.compiled import compiled
from store.errors import CoverageError, DataError

EPOCH_S = 5.0

_CALIBRATION_EPOCH_S = 10.0
_SPHERE_G = 0.3
_MOST_ROUNDS, _TOLERANCE = 1000, 1e-10
_GOOD_ERROR_MG = 10.0


@dataclass(frozen=True)
class RawEpochs:
    """What k epochs of raw acceleration amount to; NaN where an epoch holds a sample that is no number.

    Attributes
    ----------
    epoch_s : float
    enmo_mg, mad_mg : (k,) float64
        Mean of max(|a| - 1 g, 0), and mean absolute deviation of |a| in the epoch.
    z_angle_deg : (k,) float64
        Of the mean of the epoch to the horizontal, -90 to 90.
    mean_g, sd_mg, low_g, high_g : (k, 3) float64
        Of each axis; population standard deviation.
    """

    epoch_s: float
    enmo_mg: FloatArray
    mad_mg: FloatArray
    z_angle_deg: FloatArray
    mean_g: FloatArray
    sd_mg: FloatArray
    low_g: FloatArray
    high_g: FloatArray

    def __len__(self) -> int:
        return len(self.enmo_mg)

    def as_epochs(self, start_ns: int, zone: str = "UTC") -> Epochs:
        """Return them as epochs that begin at a time, in the columns of the stream `activity_epoch`."""
        columns = {
            "enmo_mg": self.enmo_mg,
            "mad_mg": self.mad_mg,
            "z_angle_deg": self.z_angle_deg,
            "sd_mg": self.sd_mg.max(axis=1),
        }
        return Epochs(
            counted_times(start_ns, self.epoch_s, len(self)), self.epoch_s, columns, "enmo_mg", zone
        )


def raw_epochs(acc_g: NDArray[np.floating[Any]], rate_hz: float, epoch_s: float = EPOCH_S) -> RawEpochs:
    """Reduce evenly sampled acceleration to epochs in one pass; an incomplete last epoch is left out.

    Unlike `ingest.epochs`, which sees frames of five seconds, the angle is of the means of the axes, not of
    their medians: for a still arm both agree within its noise.

    Parameters
    ----------
    acc_g : (n, 3) float
        Device frame, g.
    rate_hz : float
        Samples a second; an epoch holds the samples `round(k rate epoch)` to `round((k + 1) rate epoch)`.
    epoch_s : float

    Raises
    ------
    DataError
        If the shape is another, or the epoch holds no two samples.
    """
    if acc_g.ndim != 2 or acc_g.shape[1] != 3:
        raise DataError(f"Acceleration of shape {acc_g.shape}; needed are three columns")
    per_epoch = rate_hz * epoch_s
    if not per_epoch >= 2:
        raise DataError(f"{per_epoch:g} samples in an epoch; needed are 2 or more")
    held = np.ascontiguousarray(acc_g)
    edges = np.rint(np.arange(int(len(held) / per_epoch) + 1) * per_epoch).astype(np.int64)
    out = np.empty((len(edges) - 1, 15))
    _reduce(held, edges, out)
    return RawEpochs(
        epoch_s, out[:, 0], out[:, 1], out[:, 2], out[:, 3:6], out[:, 6:9], out[:, 9:12], out[:, 12:15]
    )


@compiled
def _reduce(acc_g: NDArray[np.floating[Any]], edges: NDArray[np.int64], out: FloatArray) -> None:
    norms = np.empty(np.max(np.diff(edges))) if len(edges) > 1 else np.empty(0)
    for k in range(len(edges) - 1):
        first, end = edges[k], edges[k + 1]
        n = end - first
        x0, y0, z0 = float(acc_g[first, 0]), float(acc_g[first, 1]), float(acc_g[first, 2])
        sx = sy = sz = qx = qy = qz = enmo = total = 0.0
        lx, ly, lz, hx, hy, hz = x0, y0, z0, x0, y0, z0
        for i in range(n):
            x, y, z = float(acc_g[first + i, 0]), float(acc_g[first + i, 1]), float(acc_g[first + i, 2])
            norm = np.sqrt(x * x + y * y + z * z)
            norms[i] = norm
            total += norm
            enmo += norm - 1.0 if norm > 1.0 else 0.0
            lx, hx = x if x < lx else lx, x if x > hx else hx  # noqa: FURB136 - several times as fast compiled
            ly, hy = y if y < ly else ly, y if y > hy else hy  # noqa: FURB136
            lz, hz = z if z < lz else lz, z if z > hz else hz  # noqa: FURB136
            x, y, z = x - x0, y - y0, z - z0
            sx, sy, sz = sx + x, sy + y, sz + z
            qx, qy, qz = qx + x * x, qy + y * y, qz + z * z
        mean = total / n
        mad = 0.0
        for i in range(n):
            mad += abs(norms[i] - mean)
        mx, my, mz = sx / n, sy / n, sz / n
        out[k, 6] = 1000 * np.sqrt(max(qx / n - mx * mx, 0.0))
        out[k, 7] = 1000 * np.sqrt(max(qy / n - my * my, 0.0))
        out[k, 8] = 1000 * np.sqrt(max(qz / n - mz * mz, 0.0))
        mx, my, mz = mx + x0, my + y0, mz + z0
        out[k, 0], out[k, 1] = 1000 * enmo / n, 1000 * mad / n
        out[k, 2] = np.degrees(np.arctan2(mz, np.sqrt(mx * mx + my * my)))
        out[k, 3], out[k, 4], out[k, 5] = mx, my, mz
        out[k, 9], out[k, 10], out[k, 11] = lx, ly, lz
        out[k, 12], out[k, 13], out[k, 14] = hx, hy, hz
        if np.isnan(total):
            out[k, :] = np.nan


def raw_not_worn(epochs: RawEpochs) -> NDArray[np.bool_]:
    """Mark epochs that were not worn, (k,): still for an hour on two of three axes (van Hees 2013).

    Each quarter of an hour is judged by the hour around it, from the epochs' own moments: the standard
    deviation of the hour is exact.
    """
    spread = (epochs.sd_mg / 1000) ** 2 + epochs.mean_g**2

    def is_still(part: slice) -> bool:
        variance = spread[part].mean(axis=0) - epochs.mean_g[part].mean(axis=0) ** 2
        reach_mg = 1000 * (epochs.high_g[part].max(axis=0) - epochs.low_g[part].min(axis=0))
        still = (1000 * np.sqrt(np.maximum(variance, 0)) < STILL_SD_MG) & (reach_mg < STILL_RANGE_MG)
        return bool(still.sum() >= 2)

    return windows_not_worn(len(epochs), epochs.epoch_s, is_still)


@dataclass(frozen=True)
class Calibration:
    """Gain and offset of each axis: calibrated = (raw + offset_g) * gain.

    Attributes
    ----------
    gain, offset_g : (3,) float64
    error_before_mg, error_after_mg : float
        Mean distance of still epochs from the sphere of 1 g.
    epochs_used : int
    """

    gain: FloatArray
    offset_g: FloatArray
    error_before_mg: float
    error_after_mg: float
    epochs_used: int

    def applied(self, acc_g: NDArray[np.floating[Any]]) -> FloatArray:
        """Return calibrated acceleration, (n, 3), g."""
        return np.asarray((acc_g + self.offset_g) * self.gain, np.float64)


def autocalibration(acc_g: NDArray[np.floating[Any]], rate_hz: float) -> Calibration:
    """Fit gain and offset so that gravity is 1 g in every posture the sensor lay still in.

    Parameters
    ----------
    acc_g : (n, 3) float
        At least some hours of wear, g.
    rate_hz : float

    Raises
    ------
    CoverageError
        If still epochs do not reach 0.3 g on both sides of every axis, or the fit stays off by 10 mg or more:
        the recording is then to be used as it is.
    """
    epochs = raw_epochs(acc_g, rate_hz, _CALIBRATION_EPOCH_S)
    is_still = (epochs.sd_mg < STILL_SD_MG).all(axis=1) & (np.abs(epochs.mean_g) < 2).all(axis=1)
    still_g = epochs.mean_g[is_still]
    if (
        len(still_g) < 10
        or (still_g.min(axis=0) > -_SPHERE_G).any()
        or (still_g.max(axis=0) < _SPHERE_G).any()
    ):
        raise CoverageError(
            f"Autocalibration: {len(still_g)} still epochs of 10 s that do not reach {_SPHERE_G} g "
            "on both sides of every axis; needed is a longer recording, or use it uncalibrated"
        )
    gain, offset_g = _sphere_fit(still_g)
    found = Calibration(
        gain, offset_g, _off_sphere_mg(still_g), _off_sphere_mg((still_g + offset_g) * gain), len(still_g)
    )
    if not found.error_after_mg < min(_GOOD_ERROR_MG, found.error_before_mg):
        raise CoverageError(
            f"Autocalibration: {found.error_after_mg:.1f} mg off after the fit, "
            f"{found.error_before_mg:.1f} before; needed is less than {_GOOD_ERROR_MG:g}: use it uncalibrated"
        )
    return found


def _off_sphere_mg(points_g: FloatArray) -> float:
    return float(1000 * np.abs(np.linalg.norm(points_g, axis=1) - 1).mean())


def _sphere_fit(points_g: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Regress each axis on the closest point of the sphere until nothing moves; far points weigh less."""
    slope, intercept = np.ones(3), np.zeros(3)
    weights = np.ones(len(points_g))
    before = np.inf
    for _ in range(_MOST_ROUNDS):
        current = points_g * slope + intercept
        closest = current / np.linalg.norm(current, axis=1, keepdims=True)
        mean = np.average(current, axis=0, weights=weights)
        aim = np.average(closest, axis=0, weights=weights)
        centred = current - mean
        change = (weights @ (centred * (closest - aim))) / (weights @ centred**2)
        slope, intercept = slope * change, change * (intercept - mean) + aim
        away = np.linalg.norm(points_g * slope + intercept - closest, axis=1)
        residual = 3 * float(weights @ away**2) / len(away) / float(weights.sum())
        if abs(residual - before) < _TOLERANCE:
            break
        before = residual
        weights = 1 / np.maximum(away, 0.01)
    return slope, intercept / slope
