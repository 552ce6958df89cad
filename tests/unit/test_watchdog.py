"""The watchdog: how long each kind of record may be missing before a link is dead."""

from ingest.profiles.profile import Watch
from ingest.watchdog import FIRST_FRAME_S, Watchdog
from store.units import NS_PER_S

HEART, PMD = Watch("heart_rate_measurement", 15), Watch("polar_pmd", 30)


def dead_at(watchdog: Watchdog, from_s: int = 0) -> tuple[int, str] | None:
    """Return the first whole second from which the link is dead, and why."""
    for second in range(from_s, from_s + 200):
        why = watchdog.verdict(second * NS_PER_S)
        if why is not None:
            return second, why
    return None


def watching(*watches: Watch) -> Watchdog:
    watchdog = Watchdog(0)
    watchdog.watch(watches, 0)
    return watchdog


def test_the_first_frame_may_take_longer() -> None:
    assert dead_at(watching(HEART)) == (FIRST_FRAME_S, f"no data for {FIRST_FRAME_S:g} s")


def test_what_came_once_has_to_keep_coming() -> None:
    watchdog = watching(HEART, PMD)
    watchdog.heard("polar_pmd", 18 * NS_PER_S)
    watchdog.heard("heart_rate_measurement", 20 * NS_PER_S)
    assert dead_at(watchdog, 20) == (35, "no heart rate measurement for 15 s")
    watchdog.heard("heart_rate_measurement", 40 * NS_PER_S)
    assert dead_at(watchdog, 40) == (48, "no polar pmd for 30 s")


def test_a_watch_that_does_not_measure_lives_by_its_other_frames() -> None:
    watchdog = watching(HEART)
    for second in range(0, 400, 10):
        watchdog.heard("pinetime_steps", second * NS_PER_S)
    assert dead_at(watchdog, 390) == (390 + FIRST_FRAME_S, f"no data for {FIRST_FRAME_S:g} s")
    assert not watchdog.has_heard


def test_it_looks_again_before_the_link_may_be_dead() -> None:
    watchdog = watching(HEART)
    assert watchdog.look_again_s(0) == 15
    watchdog.heard("heart_rate_measurement", 3 * NS_PER_S)
    assert watchdog.look_again_s(15 * NS_PER_S) == 3
    assert watchdog.has_heard


def test_nothing_watched_is_never_dead() -> None:
    watchdog = watching()
    assert watchdog.look_again_s(0) is None
    assert dead_at(watchdog) is None
    watchdog.heard("battery_level", 0)
    assert watchdog.has_heard
