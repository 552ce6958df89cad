"""Why a score is high, in a person's own values."""

from dataclasses import dataclass

import numpy as np

from models.advance import ANY_STATES, STATES, Track, Weights
from models.channels import CHANNELS, LONE_SD_FRAC, Channel, FloatArray, from_scale
from models.kernel import WINDOWS, baseline_end, log_ratio
from models.patterns import PATTERNS, SHIFTS, SPREADS

_SHOWN = 3
_N_WINDOWS = len(WINDOWS)


@dataclass(frozen=True, slots=True)
class Reason:
    """One channel behind a score.

    Attributes
    ----------
    channel : int
    share : float
        What it adds to the logarithm of the likelihood ratio; negative speaks against a change.
    value, usual, low, high : float
        Median of the window, and the baseline with two SD to each side, in the unit of the channel.
    z : float
        Mean deviation in the window, SD.
    days, window_days : int
        Days with a value, of how many.
    """

    channel: int
    share: float
    value: float
    usual: float
    low: float
    high: float
    z: float
    days: int
    window_days: int


def leading(track: Track, t: int, weights: Weights) -> tuple[int, int]:
    """Return pattern and window that tell most on day t."""
    first = STATES.index(ANY_STATES[0])
    added = [
        weights.weight[first + w]
        * np.nan_to_num(track.state[t, first + w], nan=-99)
        / weights.scale[first + w]
        for w in range(_N_WINDOWS)
    ]
    window = int(np.argmax(added))
    states = [np.nan_to_num(track.state[t, p * _N_WINDOWS + window], nan=-99) for p in range(len(PATTERNS))]
    return int(np.argmax(states)), window


def channel_shares(track: Track, t: int, weights: Weights) -> FloatArray:
    """Return what each channel adds to the leading pattern; with a constant they sum to it exactly."""
    pattern, window = leading(track, t, weights)
    shares = np.zeros(len(CHANNELS))
    log_ratio(
        track.means[t, window],
        track.valid[t, window],
        LONE_SD_FRAC,
        int(WINDOWS[window]),
        weights.covariance[window],
        SHIFTS[pattern],
        SPREADS[pattern],
        shares,
    )
    return shares


def reasons_for(track: Track, t: int, weights: Weights) -> list[Reason]:
    """Return the channels behind day t, those that add most first; those that add nothing are left out."""
    _, w = leading(track, t, weights)
    shares = channel_shares(track, t, weights)
    order = [int(k) for k in np.argsort(-shares, kind="stable") if shares[k] > 0]
    return [_reason(track, t, k, float(shares[k]), int(WINDOWS[w]), w) for k in order]


def _reason(track: Track, t: int, k: int, share: float, window_days: int, w: int) -> Reason:
    end = baseline_end(t, window_days)
    channel = CHANNELS[k]
    usual, spread = float(track.usual[end, k]), float(track.spread[end, k])
    recent = track.scaled[max(0, t - window_days + 1) : t + 1, k]
    value = float(np.nanmedian(recent))
    return Reason(
        k,
        share,
        from_scale(value, channel),
        from_scale(usual, channel),
        from_scale(usual - 2 * spread, channel),
        from_scale(usual + 2 * spread, channel),
        float(track.means[t, w, k]),
        int(np.isfinite(recent).sum()),
        window_days,
    )


def phrase(reason: Reason) -> str:
    """Return one reason in words."""
    channel = CHANNELS[reason.channel]
    side = "above" if reason.z > 0 else "below"
    return (
        f"{channel.label} {side} own usual: {_number(reason.value, channel)} {channel.unit}, usual "
        f"{_number(reason.usual, channel)} (median of {reason.days} of the last {reason.window_days} days)"
    )


def _number(value: float, channel: Channel) -> str:
    is_fine = channel.scale == "linear" and channel.population_sd < 5
    return f"{value:.1f}" if is_fine else f"{value:.0f}"


def sentence(track: Track, t: int, weights: Weights) -> str:
    """Return the strongest reasons of day t."""
    return "; ".join(phrase(reason) for reason in reasons_for(track, t, weights)[:_SHOWN])
