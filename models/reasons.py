"""Why a score is high, in a person's own values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.advance import Track, Weights
from models.attribution import channel_parts
from models.channels import CHANNELS, Channel, from_scale
from models.kernel import WINDOWS, baseline_end

_SHOWN = 3
_FAR_SD = 1.0
"""A channel nearer to usual, on the mean of the window, is not named: it reads as no difference."""
BAND_SD = 2.0
"""Half-width of the band that a reason is shown against."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One channel behind a score.

    Attributes
    ----------
    channel : int
    share : float
        What it adds to the score; negative speaks against a change.
    value, usual, low, high : float
        Median of the window, and the baseline with two SD to each side, in the unit of the channel.
    z : float
        Mean deviation in the window, SD.
    beyond, days, window_days : int
        Days of the window beyond the band on the side of `z`, days with a value, days of the window.
    """

    channel: int
    share: float
    value: float
    usual: float
    low: float
    high: float
    z: float
    beyond: int
    days: int
    window_days: int


def window_of(track: Track, t: int) -> int:
    """Return the window that a change of day t is told by: the longest that began no earlier than it did."""
    since = t - int(track.onset[t]) + 1
    told = [w for w, days in enumerate(WINDOWS.tolist()) if days <= since and track.valid[t, w].any()]
    return max(told, default=0)


def reasons_for(track: Track, t: int, weights: Weights) -> list[Reason]:
    """Return the channels behind the score of day t, those that add most first, those against it last."""
    w = window_of(track, t)
    parts = channel_parts(track, t, weights)
    order = [int(k) for k in np.argsort(-parts, kind="stable") if np.isfinite(track.means[t, w, k])]
    return [_reason(track, t, k, float(parts[k]), w) for k in order]


def _reason(track: Track, t: int, k: int, share: float, w: int) -> Reason:
    window_days = int(WINDOWS[w])
    end = baseline_end(t, window_days)
    channel = CHANNELS[k]
    usual, spread = float(track.usual[end, k]), float(track.spread[end, k])
    recent = track.scaled[max(0, t - window_days + 1) : t + 1, k]
    value, z = float(np.nanmedian(recent)), float(track.means[t, w, k])
    beyond = np.sign(z) * (recent - usual) > BAND_SD * spread
    return Reason(
        k,
        share,
        from_scale(value, channel),
        from_scale(usual, channel),
        from_scale(usual - BAND_SD * spread, channel),
        from_scale(usual + BAND_SD * spread, channel),
        z,
        int(beyond.sum()),
        int(np.isfinite(recent).sum()),
        window_days,
    )


def phrase(reason: Reason) -> str:
    """Return one reason in words."""
    channel = CHANNELS[reason.channel]
    side = "above" if reason.z > 0 else "below"
    return (
        f"{channel.label} {side} own usual: {_number(reason.value, channel)} {channel.unit}, usual "
        f"{_number(reason.usual, channel)}"
    )


def _number(value: float, channel: Channel) -> str:
    return f"{value:.{channel.digits}f}"


def sentence(track: Track, t: int, weights: Weights) -> str:
    """Return the strongest reasons of day t."""
    return in_words(reasons_for(track, t, weights))


def in_words(reasons: Sequence[Reason]) -> str:
    """Return the strongest reasons that speak for a change; what is hardly off is not among them."""
    far = [each for each in reasons if each.share > 0 and abs(each.z) >= _FAR_SD]
    said = "; ".join(phrase(reason) for reason in far[:_SHOWN] or reasons[:1])
    return f"{said} (medians of the last {reasons[0].window_days} days)"


def first_day(track: Track, t: int, reasons: Sequence[Reason]) -> int:
    """Return the first day of the window on which what adds most was an SD or more from usual on its side."""
    lead = reasons[0]
    begin = max(0, t - lead.window_days + 1)
    far = np.flatnonzero(np.sign(lead.z) * track.daily[begin : t + 1, lead.channel] >= 1)
    return begin + int(far[0]) if len(far) else begin
