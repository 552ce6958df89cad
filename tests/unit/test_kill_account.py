"""What the kill benchmark holds against a collector, and what it does not."""

import numpy as np
import pytest

from benchmarks.bed import Sent
from benchmarks.kill import account

MS = 1_000_000
LIVES_MS = [(0, 5_000), (5_100, 9_000)]


def counted(heard: str, stored: list[int] | None = None, spooled: set[int] | None = None) -> dict[str, int]:
    """Count for a strap that sends every 500 ms, `heard` where there is an x, all of it stored by default."""
    sequence = np.arange(len(heard))
    listeners = np.array([letter == "x" for letter in heard], np.int64)
    sent = Sent(sequence, sequence * 500 * MS + MS, listeners)
    held = np.flatnonzero(listeners) if stored is None else np.array(stored, np.int64)
    return account(sent, held, np.array(LIVES_MS) * MS, spooled or set())


def test_all_that_was_sent_to_a_living_collector_is_counted_once() -> None:
    found = counted("..xxxxxxxx....xxxx")
    assert found == dict.fromkeys(found, 0) | {"notified": 12}


def test_what_is_sent_to_a_collector_after_its_death_is_held_against_nobody() -> None:
    # Packet 10 goes out 1 ms after the kill: the service has subscribed for a collector that is dead.
    found = counted("..........x...xxxx", stored=[14, 15, 16, 17])
    assert (found["notified"], found["dead"], found["lost"], found["links_lost"]) == (4, 1, 0, 0)


@pytest.mark.parametrize("heard", ["..xxxx..xx....xxxx", "..xxxx...........x"])
def test_a_link_that_is_lost_while_its_collector_lives_is_counted(heard: str) -> None:
    assert counted(heard)["links_lost"] == 1


def test_a_packet_that_is_missing_counts_by_how_long_before_the_kill_it_was_sent() -> None:
    found = counted("..xxxxxxxx....xxxx", stored=[2, 4, 5, 6, 7, 8, 9, 14, 15, 16])
    assert (found["lost"], found["under_way"]) == (2, 0)
    near = counted("................xx", stored=[16])
    assert (near["lost"], near["late_ms"]) == (1, 499)


def test_what_was_spooled_twice_stored_or_disordered_is_counted() -> None:
    found = counted("..xxxxxxxx....xxxx", stored=[2, 3, 5, 5, 4, 6, 7, 8, 9, 14, 15, 16, 17], spooled={3, 10})
    assert (found["spooled_lost"], found["twice"], found["disorder"], found["lost"]) == (1, 1, 1, 0)
    assert counted("..xx", stored=[0, 2, 3])["invented"] == 1
