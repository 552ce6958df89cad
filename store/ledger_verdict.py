"""What an hour of the store proves: acknowledged samples against held ones, by count and digest. Pure.

An hour is *sealed* once the store agreed with the counters: from then on any difference that no spool
accounts for is found. What a spool acknowledged later is added to the seal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from store.ledger_digest import Total


class Basis(StrEnum):
    """On what an hour was sealed, strongest first."""

    ACKNOWLEDGED = "acknowledged"
    """The store held exactly what spools acknowledged, to the last bit."""
    REWRITTEN = "rewritten"
    """Samples were acknowledged more than once, and may have replaced others: their number is possible, their
    values are as the store had them then."""
    FOUND = "found"
    """The store held them when the ledger first looked; no spool brought all of them."""
    ACCEPTED = "accepted"
    """A difference that a person accepted."""


class Finding(StrEnum):
    """How an hour of the store differs from what it must hold."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Growth:
    """What one spool acknowledged in an hour since its seal.

    Attributes
    ----------
    total : Total
    new : int
        Samples of `total` that certainly replaced none in the seal, which is all of this spool; 0 where
        others wrote it too.
    distinct : int
        Different samples that this spool wrote in the hour at least, those in the seal included.
    """

    total: Total
    new: int
    distinct: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an hour.

    Attributes
    ----------
    finding : Finding or None
        None if nothing is wrong.
    basis : Basis or None
        On what to seal the hour as the store holds it; None leaves the seal as it is.
    at_least, at_most : int
        How many samples the store must hold.
    """

    finding: Finding | None
    basis: Basis | None
    at_least: int
    at_most: int


def judge(seal: Total | None, growth: Sequence[Growth], stored: Total, *, is_open: bool) -> Verdict:
    """Compare what the store holds of one stream, sensor and hour with what it must hold.

    Parameters
    ----------
    seal : Total or None
        What it held when it was last sealed; None if it never was.
    growth : sequence of Growth
    stored : Total
    is_open : bool
        Whether samples may be stored that are not acknowledged yet: more than expected is no finding then.
    """
    expected = sum((part.total for part in growth), seal or Total())
    at_least, at_most = _least(seal, growth), expected.count
    if stored == expected:
        return Verdict(None, Basis.ACKNOWLEDGED if growth else None, at_most, at_most)
    if is_open and stored.count >= at_least:
        return Verdict(None, None, at_least, at_most)
    basis = _other_basis(seal, growth, stored, expected)
    finding = None if basis else _finding(stored.count, at_least, at_most)
    return Verdict(finding, basis, at_least, at_most)


def _other_basis(
    seal: Total | None, growth: Sequence[Growth], stored: Total, expected: Total
) -> Basis | None:
    """Return on what an hour can be sealed that is not simply the sum of all there was."""
    at_least = _least(seal, growth)
    if growth and stored.count >= at_least and _is_written_whole(stored, expected, growth):
        return Basis.ACKNOWLEDGED
    if at_least < expected.count and at_least <= stored.count <= expected.count:
        return Basis.REWRITTEN
    if seal is None and stored.count > expected.count:
        return Basis.FOUND
    return None


def _is_written_whole(stored: Total, expected: Total, growth: Sequence[Growth]) -> bool:
    """Whether one spool wrote the hour whole, or everything was written the same number of times."""
    times = expected.count // max(stored.count, 1)
    again = Total(times * stored.count, times * stored.digest % 2**64)
    return again == expected or any(part.total == stored for part in growth)


def _least(seal: Total | None, growth: Sequence[Growth]) -> int:
    """Return how many different samples there must be: nothing is ever taken away, only replaced."""
    added = (seal or Total()).count + sum(part.new for part in growth)
    return max([added, *(part.distinct for part in growth)])


def _finding(stored: int, at_least: int, at_most: int) -> Finding:
    if stored < at_least:
        return Finding.MISSING
    return Finding.EXTRA if stored > at_most else Finding.CHANGED
