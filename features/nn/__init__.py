"""RR intervals to NN intervals: leave out what is no normal beat, and remember where beats are shared.

A rule judges intervals (`CLEANING_RULES`); nothing is ever interpolated or joined, a removed interval only
breaks the chain of successive differences. How well each rule does on annotated recordings, and where it
fails: docs/artefacts.md.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from features.nn.artefact import Artefact, FloatArray, Rule, Verdicts, keep_all
from features.nn.bracket import bracket
from features.nn.lipponen_tarvainen import lipponen_tarvainen
from features.nn.median20 import median20
from store.errors import UnknownError
from store.types import NnSeries, RrSeries
from store.units import NS_PER_MS

__all__ = [
    "CLEANING_RULES",
    "DEFAULT_RULE",
    "Artefact",
    "Rule",
    "cleaning_rule",
    "is_normal",
    "nn_from_rr",
    "shares_beat",
    "verdicts",
]

SHARED_BEAT_MS = 5.0
"""Two intervals share a beat if the second began where the first ended, within clock and grid error."""

CLEANING_RULES: Mapping[str, Rule] = {
    "none": keep_all,
    "median20": median20,
    "lipponen_tarvainen": lipponen_tarvainen,
    "bracket": bracket,
}
"""How RR intervals become NN intervals, by name."""

DEFAULT_RULE = "bracket"


def nn_from_rr(rr: RrSeries, rule: str = DEFAULT_RULE) -> NnSeries:
    """Return the NN intervals of a series: those a rule finds nothing wrong with.

    Parameters
    ----------
    rr : RrSeries of one sensor
    rule : str
        A name in `CLEANING_RULES`.

    Raises
    ------
    UnknownError
        If no rule has that name; the message lists those there are.
    """
    is_nn = is_normal(rr.rr_ms, rule)
    kept = np.flatnonzero(is_nn)
    shares = shares_beat(rr.t_ns, rr.rr_ms)
    was_kept = np.concatenate([[False], is_nn[:-1]]) if len(rr) else np.zeros(0, np.bool_)
    return NnSeries(rr.t_ns[kept], rr.rr_ms[kept], (shares & was_kept)[kept], len(rr) - len(kept))


def cleaning_rule(name: str) -> Callable[[RrSeries], NnSeries]:
    """Return `nn_from_rr` with the rule of that name.

    Raises
    ------
    UnknownError
        If there is none; the message lists those there are.
    """
    _rule(name)
    return partial(nn_from_rr, rule=name)


def verdicts(rr_ms: FloatArray, rule: str = DEFAULT_RULE) -> Verdicts:
    """Return an `Artefact` for each interval (n,), 0 where the rule keeps it.

    Raises
    ------
    UnknownError
        If no rule has that name.

    Examples
    --------
    >>> import numpy as np
    >>> [Artefact(v).name for v in verdicts(np.array([800.0, 810, 790, 1620, 800, 805, 795]))[2:5]]
    ['NONE', 'DEVIATING', 'NONE']
    """
    return _rule(rule)(np.ascontiguousarray(rr_ms, np.float64))


def is_normal(rr_ms: FloatArray, rule: str = DEFAULT_RULE) -> NDArray[np.bool_]:
    """Say for each interval (n,) whether the rule keeps it."""
    return verdicts(rr_ms, rule) == Artefact.NONE


def shares_beat(t_ns: NDArray[np.int64], rr_ms: FloatArray) -> NDArray[np.bool_]:
    """Say for each interval (n,) whether it begins with the beat that ended the one before it."""
    shares = np.zeros(len(t_ns), np.bool_)
    shares[1:] = np.abs(np.diff(t_ns) / NS_PER_MS - rr_ms[1:]) < SHARED_BEAT_MS
    return shares


def _rule(name: str) -> Rule:
    if name not in CLEANING_RULES:
        raise UnknownError(f"No rule is called {name!r}; there are: {', '.join(CLEANING_RULES)}")
    return CLEANING_RULES[name]
