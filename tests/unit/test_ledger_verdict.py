"""What an hour proves: honest writers never raise an alarm, and a loss that could be known always does."""

from collections.abc import Iterable
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.ledger_digest import Total
from store.ledger_rows import Counted, KnownHour
from store.ledger_verdict import Basis, Finding, Growth, Verdict, judge

Held = dict[int, int]
"""Samples of one hour: time to value."""


def total(samples: Iterable[tuple[int, int]]) -> Total:
    """Count and sum of hashes that no simple mistake gets right."""
    hashes = (blake2b(str(one).encode(), digest_size=8).digest() for one in samples)
    return sum((Total(1, int.from_bytes(digest)) for digest in hashes), Total())


def one_spool(part: Total, rewritten: int = 0, *, sealed: int = 0) -> Growth:
    """Return what the only spool adds to a seal of `sealed` samples, all its own."""
    return Growth(part, part.count - rewritten, sealed + part.count - rewritten)


def another_spool(part: Total) -> Growth:
    """Return what a spool adds that has nothing in the seal."""
    return Growth(part, 0, part.count)


A, B = total((t, 0) for t in range(100)), total((t, 0) for t in range(100, 130))
OTHER_B = total((t, 1) for t in range(100, 130))
LOST_ONE = total((t, 0) for t in range(99))


@pytest.mark.parametrize(
    ("seal", "growth", "stored", "expected"),
    [
        (None, [], A, (None, Basis.FOUND)),
        (None, [one_spool(A)], A, (None, Basis.ACKNOWLEDGED)),
        (A, [], A, (None, None)),
        (A, [one_spool(B, sealed=100)], A + B, (None, Basis.ACKNOWLEDGED)),
        (A, [], LOST_ONE, (Finding.MISSING, None)),
        (A, [], Total(), (Finding.MISSING, None)),
        (A, [], A + B, (Finding.EXTRA, None)),
        (A, [], LOST_ONE + total([(99, 1)]), (Finding.CHANGED, None)),
        (A, [one_spool(B, sealed=100)], A, (Finding.MISSING, None)),  # as after an old backup was put back
        (A, [one_spool(B, sealed=100)], B, (Finding.MISSING, None)),
        (A, [one_spool(B, sealed=100)], A + OTHER_B, (Finding.CHANGED, None)),
        (None, [one_spool(A)], LOST_ONE, (Finding.MISSING, None)),
        (None, [one_spool(A)], A + B, (None, Basis.FOUND)),  # was there before the ledger
        # A recording replayed once more, by a spool of its own or by the same one.
        (A, [another_spool(A)], A, (None, Basis.ACKNOWLEDGED)),
        (A, [one_spool(A, rewritten=100, sealed=100)], A, (None, Basis.ACKNOWLEDGED)),
        (None, [one_spool(A + A + A, rewritten=200)], A, (None, Basis.ACKNOWLEDGED)),
        (LOST_ONE, [another_spool(A)], A, (None, Basis.ACKNOWLEDGED)),  # the first was cut short
        # A log that is downloaded again and again, longer each time.
        (A, [one_spool(A + A + B, rewritten=200, sealed=100)], A + B, (None, Basis.REWRITTEN)),
        (A, [one_spool(A + A + B, rewritten=200, sealed=100)], LOST_ONE + B, (Finding.MISSING, None)),
        (A, [one_spool(B, rewritten=30, sealed=100)], A + B + OTHER_B, (Finding.EXTRA, None)),
    ],
)
def test_a_closed_hour(seal, growth, stored, expected):
    verdict = judge(seal, growth, stored, is_open=False)
    assert (verdict.finding, verdict.basis) == expected


def test_an_open_hour_may_hold_what_is_not_acknowledged_yet_but_not_less():
    assert judge(A, [], A + B, is_open=True) == Verdict(None, None, 100, 100)
    assert judge(None, [], B, is_open=True) == Verdict(None, None, 0, 0)
    assert judge(A, [], LOST_ONE, is_open=True).finding is Finding.MISSING
    assert judge(A, [one_spool(B, sealed=100)], A + B, is_open=True).basis is Basis.ACKNOWLEDGED


class Hour:
    """One hour of a store, the spools that write it, and the ledger's view of both."""

    def __init__(self) -> None:
        self.held: Held = {}
        self.acknowledged: dict[int, tuple[int, int, int]] = {}
        self.sealed: dict[int, tuple[int, int, int]] = {}
        self.newest: dict[int, int] = {}
        self.seal: Total | None = None

    def write(self, spool: int, samples: Held) -> None:
        """Write as a forwarder does, and count as a spool does."""
        self.held.update(samples)
        count, rewritten, digest = self.acknowledged.get(spool, (0, 0, 0))
        newest = self.newest.get(spool, -1)
        again = sum(t <= newest for t in samples)
        added = Total(count, digest) + total(samples.items())
        self.acknowledged[spool] = added.count, rewritten + again, added.digest
        self.newest[spool] = max([newest, *samples])

    def reconcile(self) -> Verdict:
        """Compare and seal as the ledger does."""
        known = KnownHour(
            self.seal,
            counted=[
                Counted(spool, *count, *self.sealed.get(spool, (0, 0, 0)))
                for spool, count in self.acknowledged.items()
            ],
        )
        growth = known.growth()
        stored = total(self.held.items())
        verdict = judge(self.seal, growth, stored, is_open=False)
        if verdict.basis is not None:
            self.seal, self.sealed = stored, dict(self.acknowledged)
        return verdict


writes = st.tuples(
    st.integers(0, 2), st.dictionaries(st.integers(0, 15), st.integers(0, 3), min_size=1), st.booleans()
)


@given(st.lists(writes, max_size=8))
def test_honest_writers_never_raise_an_alarm(history):
    hour = Hour()
    for spool, samples, is_reconciled in history:
        hour.write(spool, samples)
        if is_reconciled:
            assert hour.reconcile().finding is None
    assert hour.reconcile().finding is None
    assert hour.reconcile() == Verdict(None, None, len(hour.held), len(hour.held))


@given(st.lists(writes, min_size=1, max_size=6), st.data())
def test_after_a_seal_every_loss_and_change_is_found(history, data):
    hour = Hour()
    for spool, samples, _ in history:
        hour.write(spool, samples)
    hour.reconcile()
    victim = data.draw(st.sampled_from(sorted(hour.held)))
    if data.draw(st.booleans()):
        del hour.held[victim]
        assert hour.reconcile().finding is Finding.MISSING
    else:
        hour.held[victim] += 1
        assert hour.reconcile().finding is Finding.CHANGED


@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.integers(0, 3), min_size=1), min_size=1, max_size=5),
    st.data(),
)
def test_before_the_first_seal_too_if_nothing_was_written_twice(parts, data):
    hour = Hour()
    for number, part in enumerate(parts):
        hour.write(0, {100 * number + t: value for t, value in part.items()})
    victim = data.draw(st.sampled_from(sorted(hour.held)))
    if data.draw(st.booleans()):
        del hour.held[victim]
    else:
        hour.held[victim] += 1
    assert hour.reconcile().finding is not None
