"""Flags of a verdict: what stands behind each, in the person's own values."""

from datetime import date, timedelta

import numpy as np

from configs.settings import FlagSettings, settings_hash
from models.channels import CHANNELS
from models.policy import HYSTERESIS
from models.reasons import Reason, first_day, in_words, reasons_for
from models.verdict import LOOKED_DAYS, WEAR_LOSS_SD, Verdict, lost_of_recent
from store.types import Contribution, Flag

CONTACT_DETECTOR = "data-lost/1"


def flags_of(verdict: Verdict, settings: FlagSettings) -> list[Flag]:
    """Return every flag that was to be raised, oldest first; one that got worse is in it again."""
    changes = [change_flag(verdict, t, settings) for t in np.flatnonzero(verdict.alerts).tolist()]
    lost = [contact_flag(verdict, t, settings) for t in np.flatnonzero(verdict.contacts).tolist()]
    return sorted(changes + lost, key=lambda flag: flag.night)


def change_flag(verdict: Verdict, t: int, settings: FlagSettings) -> Flag:
    """Return the flag of a change that stands on day t."""
    reasons = reasons_for(verdict.track, t, verdict.model.weights)
    window = range(max(0, t - reasons[0].window_days + 1), t + 1)
    return Flag(
        subject_id=verdict.days.subject,
        night=night_at(verdict, t),
        since=night_at(verdict, first_day(verdict.track, t, reasons)),
        score=float(verdict.score[t]),
        threshold=float(verdict.review[t]),
        direction="above" if reasons[0].z > 0 else "below",
        contributions=tuple(map(_contribution, reasons)),
        coverage_frac=float(verdict.is_monitored[window.start : window.stop].mean()),
        detector_id=verdict.model.detector_id,
        config_hash=settings_hash(settings),
        reason=in_words(reasons),
        model_version=verdict.model.digest,
        chance_frac=verdict.chance_frac(t, settings.changes_per_year),
    )


def contact_flag(verdict: Verdict, t: int, settings: FlagSettings) -> Flag:
    """Return the flag of data that are being lost on day t; it says nothing about the person."""
    is_present = verdict.is_present
    begin = max(0, t + 1 - LOOKED_DAYS)
    earlier = is_present[: begin or 1]
    lost = int(lost_of_recent(verdict.track)[t])
    usual = LOOKED_DAYS * float(1 - earlier.mean())
    return Flag(
        subject_id=verdict.days.subject,
        night=night_at(verdict, t),
        since=night_at(verdict, begin + int(np.flatnonzero(~is_present[begin : t + 1])[0])),
        score=float(verdict.track.raw[t, -1]),
        threshold=WEAR_LOSS_SD,
        direction="below",
        contributions=(),
        coverage_frac=float(is_present[begin : t + 1].mean()),
        detector_id=CONTACT_DETECTOR,
        config_hash=settings_hash(settings),
        reason=f"Data lost: {lost} of the last {LOOKED_DAYS} nights without enough values, usually "
        f"{usual:.1f}; ask about the wearable. This says nothing about how the person is",
        kind="contact",
    )


def is_still_lost(verdict: Verdict, night: date) -> bool:
    """Say whether data that were being lost on a night have not come back since."""
    begin = max(0, (night - verdict.days.first).days)
    return bool((lost_of_recent(verdict.track)[begin:] > 1).all())


def night_at(verdict: Verdict, t: int) -> date:
    """Return the date of day t."""
    return verdict.days.first + timedelta(days=t)


def still_raised(verdict: Verdict, night: date, from_night: date) -> int | None:
    """Return the first day from `from_night` on which a change raised on `night` stands; None if it ended."""
    begin = (night - verdict.days.first).days
    margin = np.where(verdict.is_monitored, verdict.score - verdict.review, np.nan)
    for t in range(begin, len(margin)):
        if margin[t] < -HYSTERESIS:
            return None
        if margin[t] >= 0 and night_at(verdict, t) >= from_night:
            return t
    return None


def _contribution(reason: Reason) -> Contribution:
    return Contribution(
        feature=CHANNELS[reason.channel].name,
        value=reason.value,
        usual=reason.usual,
        low=reason.low,
        high=reason.high,
        z=reason.z,
        nights_outside=reason.beyond,
        nights_judged=reason.days,
        share=reason.share,
    )
