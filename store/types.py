"""Central types: frozen, checked once when they are made, arrays read-only, units as suffixes."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, made contiguous and locked against writing."""
    locked = np.ascontiguousarray(array)
    if locked.flags.writeable:
        if locked is array or locked.base is not None:
            locked = locked.copy()
        locked.flags.writeable = False
    return locked


@dataclass(frozen=True, slots=True)
class HeartRateMeasurement:
    """One Heart Rate Measurement notification, decoded and unrounded.

    Attributes
    ----------
    heart_rate_bpm : int
        0-65535; most wearables send 0 when they see no pulse.
    skin_contact : bool or None
        None where the wearable cannot tell.
    energy_kj : int or None
        Energy expended since its last reset, 0-65535.
    rr_ms : tuple of float
        Oldest first, exact multiples of 1000/1024 ms.
    """

    heart_rate_bpm: int
    skin_contact: bool | None = None
    energy_kj: int | None = None
    rr_ms: tuple[float, ...] = ()


@dataclass(frozen=True)
class RrSeries:
    """RR intervals of one sensor, as measured; nothing removed.

    Attributes
    ----------
    t_ns : (n,) int64
        End of each interval, nanoseconds UTC, strictly increasing.
    rr_ms : (n,) float64
        Finite and positive.
    """

    t_ns: NDArray[np.int64]
    rr_ms: NDArray[np.float64]

    def __post_init__(self) -> None:
        t_ns = read_only(np.asarray(self.t_ns, np.int64))
        rr_ms = read_only(np.asarray(self.rr_ms, np.float64))
        if t_ns.ndim != 1 or t_ns.shape != rr_ms.shape:
            raise DataError(
                f"RR series: {t_ns.shape} times, {rr_ms.shape} intervals; needed: as many of each"
            )
        if (np.diff(t_ns) <= 0).any():
            raise DataError("RR series: times repeat or go back; needed are strictly increasing times")
        if not (np.isfinite(rr_ms) & (rr_ms > 0)).all():
            raise DataError("RR series: an interval is not a positive number of milliseconds")
        object.__setattr__(self, "t_ns", t_ns)
        object.__setattr__(self, "rr_ms", rr_ms)

    def __len__(self) -> int:
        return len(self.t_ns)


@dataclass(frozen=True)
class NnSeries:
    """Normal-to-normal intervals: RR after artefact removal.

    Attributes
    ----------
    t_ns : (n,) int64
        End of each interval, nanoseconds UTC, strictly increasing.
    nn_ms : (n,) float64
    follows_previous : (n,) bool
        True where this interval and the one before it in the array share a beat. Successive differences
        exist only there.
    removed_count : int
        RR intervals that were left out.
    """

    t_ns: NDArray[np.int64]
    nn_ms: NDArray[np.float64]
    follows_previous: NDArray[np.bool_]
    removed_count: int = 0

    def __post_init__(self) -> None:
        t_ns = read_only(np.asarray(self.t_ns, np.int64))
        nn_ms = read_only(np.asarray(self.nn_ms, np.float64))
        follows = read_only(np.asarray(self.follows_previous, np.bool_))
        if not t_ns.shape == nn_ms.shape == follows.shape or t_ns.ndim != 1:
            raise DataError(f"NN series: lengths {t_ns.shape}, {nn_ms.shape}, {follows.shape} differ")
        if (np.diff(t_ns) <= 0).any():
            raise DataError("NN series: times repeat or go back; needed are strictly increasing times")
        object.__setattr__(self, "t_ns", t_ns)
        object.__setattr__(self, "nn_ms", nn_ms)
        object.__setattr__(self, "follows_previous", follows)

    def __len__(self) -> int:
        return len(self.t_ns)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature added to a flag.

    Attributes
    ----------
    feature : str
    value : float
        Median of the nights that were judged.
    usual, low, high : float
        The person's own median and band before these nights.
    z : float
        Mean distance from usual of these nights in robust SD; positive above, negative below.
    nights_outside, nights_judged : int
        Nights beyond the band on the side of `z`, and nights with a value.
    share : float
        What it adds to the score; negative speaks against a change.
    """

    feature: str
    value: float
    usual: float
    low: float
    high: float
    z: float
    nights_outside: int
    nights_judged: int
    share: float = 0.0


FlagKind = Literal["change", "contact"]


@dataclass(frozen=True, slots=True)
class Flag:
    """A sustained change from this person's own normal, or data that are being lost; never a diagnosis.

    Attributes
    ----------
    subject_id : str
    night : date
        The night on which it was raised; the flag uses no later data.
    since : date
        The first of the nights that led to it.
    score, threshold : float
        The flag stands because `score >= threshold`; higher is further from usual.
    direction : {"above", "below"}
    contributions : tuple of Contribution
        Strongest first.
    coverage_frac : float
        Share of the judged nights that had enough data, 0-1; a flag of a change without it cannot exist.
    detector_id, config_hash : str
        Which detector, in which settings.
    kind : {"change", "contact"}
        A change from the person's own normal; or so much data lost that somebody should ask about the
        wearable, which says nothing about the person.
    tier : str
        `review`: raised for somebody to look at.
    model_version : str
        Hash of the model's arrays; empty without a model.
    chance_frac : float or None
        Share of chance in such flags, 0-1; None where nobody can say.
    """

    subject_id: str
    night: date
    since: date
    score: float
    threshold: float
    direction: Literal["above", "below"]
    contributions: tuple[Contribution, ...]
    coverage_frac: float
    detector_id: str
    config_hash: str
    reason: str = field(default="")
    kind: FlagKind = "change"
    tier: str = "review"
    model_version: str = ""
    chance_frac: float | None = None

    def __post_init__(self) -> None:
        lowest = 0 if self.kind == "contact" else np.nextafter(0, 1)
        if not lowest <= self.coverage_frac <= 1:
            raise DataError(
                f"A flag for {self.subject_id}, night {self.night}, has coverage {self.coverage_frac}; "
                "needed is more than 0: missing data is its own state, never a flag"
            )
        if self.score < self.threshold:
            raise DataError(
                f"A flag for {self.subject_id}, night {self.night}, has score {self.score}; "
                f"needed is its threshold {self.threshold} or more"
            )
