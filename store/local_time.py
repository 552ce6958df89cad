"""Times of a device's own clock, without a zone, to UTC, through changes of clocks."""

from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from store.errors import ConfigError
from store.units import NS_PER_S

_Times = NDArray[np.int64]


def check_zone(zone: str) -> None:
    """Raise `ConfigError` unless the name is of an IANA zone."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"No time zone is called {zone!r}; needed is an IANA name such as Europe/Berlin"
        ) from None


def local_wall_ns(t_ns: _Times, zone: str) -> _Times:
    """Return what clocks of a zone showed at UTC times, as nanoseconds of the same shape."""
    there = pd.DatetimeIndex(t_ns, tz="UTC").tz_convert(zone).tz_localize(None)
    return there.as_unit("ns").asi8


def utc_of_local(local_ns: _Times, zone: str) -> tuple[_Times, tuple[str, ...]]:
    """Return the UTC times of local times in the order of recording, and what was decided.

    Most recorders keep counting through a change of clocks; vendors' exports follow the clock on the wall.
    The times tell which: a time that the spring change skipped, or an autumn hour that comes once without a
    break, was not shown by a clock on the wall, so the whole file is read with the offset of its first time.
    Otherwise an hour that exists twice is first the earlier, and the later from where the times step back.

    Parameters
    ----------
    local_ns : (n,) int64
        Local times as if they were UTC.
    zone : str
        IANA name.

    Returns
    -------
    t_ns : (n,) int64
    notes : tuple of str

    Raises
    ------
    ConfigError
        If there is no such zone.
    """
    check_zone(zone)
    local = pd.DatetimeIndex(local_ns)
    early, late = (_localized(local, zone, is_first) for is_first in (True, False))
    is_skipped = early == pd.NaT.value
    is_double = (early != late) & ~is_skipped
    if not (is_skipped | is_double).any():
        return early, ()
    runs_through = _first_run_through(local_ns, is_skipped, is_double)
    if runs_through is None:
        is_late = _after_step_back(local_ns, is_double)
        return np.where(is_late, late, early), ()
    began = local[:1].to_pydatetime()[0].replace(tzinfo=ZoneInfo(zone))
    offset_ns = round((began.utcoffset() or timedelta()).total_seconds()) * NS_PER_S
    when = str(local[runs_through])[:16]
    note = (
        f"The recorder's clock ran on through the change of clocks at {when}: "
        f"all its times are read as UTC{offset_ns / NS_PER_S / 3600:+g} h"
    )
    return local_ns - offset_ns, (note,)


def _localized(local: pd.DatetimeIndex, zone: str, is_first: bool) -> _Times:  # noqa: FBT001 - of a loop over both
    known = local.tz_localize(zone, ambiguous=np.full(len(local), is_first), nonexistent="NaT")
    return known.as_unit("ns").asi8


def _first_run_through(
    local_ns: _Times, is_skipped: NDArray[np.bool_], is_double: NDArray[np.bool_]
) -> int | None:
    """Return the first time that proves that the clock did not change; None without one."""
    if is_skipped.any():
        return int(np.flatnonzero(is_skipped)[0])
    step_ns = np.diff(local_ns)
    usual_ns = int(np.median(step_ns)) if len(step_ns) else 0
    for first, end in _runs(is_double):
        inside = step_ns[max(first - 1, 0) : end]
        if first > 0 and end < len(local_ns) and (inside == usual_ns).all():
            return first
    return None


def _after_step_back(local_ns: _Times, is_double: NDArray[np.bool_]) -> NDArray[np.bool_]:
    is_late = np.zeros(len(local_ns), np.bool_)
    for first, end in _runs(is_double):
        back = np.flatnonzero(np.diff(local_ns[first:end]) < 0)
        if len(back):
            is_late[first + int(back[0]) + 1 : end] = True
    return is_late


def _runs(holds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open runs of True."""
    edges = np.flatnonzero(np.diff(holds, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
