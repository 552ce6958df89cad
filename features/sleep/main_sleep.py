"""Which of the periods of sleep is the night's, and which are naps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from features.sleep.hypnogram import Hypnogram
from features.sleep.night import SleepValues, wake_date
from features.sleep.specs import specs_of
from store.nights import night_bounds_ns
from store.units import NS_PER_S

NAP_MIN = 15.0
"""Shorter rests are not called naps."""

SURE_NIGHT_MIN = 180.0
"""A shorter period is taken for a night only where 80 % from noon to noon were scored: else the night itself
may have been slept unseen."""

_BESIDE_NS = 15 * 60 * NS_PER_S
"""What has to be known on either side of a period before its onset and offset are taken for such."""


@dataclass(frozen=True, slots=True)
class NightsSleep:
    """Positions of a night's periods: the longest that ends on its date, if any, and the others."""

    main: int | None
    naps: tuple[int, ...]


def sleep_of_night(found: Sequence[SleepValues], night: date, scored: Hypnogram, zone: str) -> NightsSleep:
    """Return which periods end on the local date of a night.

    A period belongs to the date on which it ends, so that people who sleep by day have nights, too.
    """
    on_it = [k for k, values in enumerate(found) if wake_date(values.end_ns, zone) == night]
    main = max(on_it, key=lambda k: found[k].end_ns - found[k].start_ns, default=None)
    if main is not None and _may_be_a_nap(found[main], night, scored, zone):
        main = None
    return NightsSleep(main, tuple(k for k in on_it if k != main))


def _may_be_a_nap(longest: SleepValues, night: date, scored: Hypnogram, zone: str) -> bool:
    share = share_scored(scored, *night_bounds_ns(night, zone))
    return longest.values["tib_min"] < SURE_NIGHT_MIN and share < specs_of("day")[0].min_coverage_frac


def nap_values(naps: Sequence[SleepValues], day_scored_frac: float) -> tuple[float, float, str]:
    """Return number of naps and minutes asleep in them, or NaN and why.

    Parameters
    ----------
    naps : sequence of SleepValues
        Periods beside the night's.
    day_scored_frac : float
        Share of the local day that was scored, 0-1.
    """
    needed = specs_of("day")[0].min_coverage_frac
    if day_scored_frac < needed:
        seen = f"{int(100 * day_scored_frac + 1e-9)} % of the day scored, {100 * needed:.0f} % needed"
        return float("nan"), float("nan"), seen
    if any(nap.withheld for nap in naps):
        return float("nan"), float("nan"), "one of them was not seen whole"
    asleep = [nap.values["tst_min"] for nap in naps if nap.values["tib_min"] >= NAP_MIN]
    return float(len(asleep)), float(sum(asleep)), ""


def share_scored(scored: Hypnogram, start_ns: int, end_ns: int) -> float:
    """Return the share of a span that was scored, 0-1."""
    part = scored.between(start_ns, end_ns)
    return float(part.is_scored.mean()) if len(part) else 0.0


def cut_off(scored: Hypnogram, start_ns: int, end_ns: int) -> str:
    """Say why a period that was found may be longer than it looks: nothing is known right beside it."""
    before = scored.between(start_ns - _BESIDE_NS, start_ns).is_scored
    after = scored.between(end_ns, end_ns + _BESIDE_NS).is_scored
    if not before.all():
        return "it begins where recording or wear begins"
    return "" if after.all() else "it ends where recording or wear ends"
