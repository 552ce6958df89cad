"""Who wears what and who has paused: the files and the registry that the collector goes by."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.memory import WearableMemory
from ingest.pauses import EVERYBODY, Pauses, parse_duration_ns, parse_pauses, read_pauses, write_pauses
from ingest.roster import Roster, registry_roster
from store.clock import VirtualClock
from store.errors import ConfigError, HomeError, RefusedError, StoreUnavailableError, UnknownError
from store.installation import Installation
from store.registry.wearing import Wearing
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000
SENSOR = "C0:FF:EE:00:00:01"


@pytest.mark.parametrize(
    ("text", "paused"),
    [
        ("", {"S1", "S2"}),
        ("\n  \n", {"S1", "S2"}),
        ("*\n", {"S1", "S2"}),
        ("S1\n", {"S1"}),
        ("S1 2026-01-05T20:00:01Z\nS2 2026-01-05T20:00:00Z", {"S1"}),
        ("* 2026-01-05T19:00:00Z", set()),
        ("S3", set()),
    ],
)
def test_a_pause_file_says_who_is_paused(text: str, paused: set[str]) -> None:
    pauses = parse_pauses(text)
    assert {subject for subject in ("S1", "S2") if pauses.is_paused(subject, START_NS)} == paused


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}|\*", fullmatch=True),
        st.none() | st.integers(0, 4_000_000_000).map(lambda second: second * NS_PER_S),
        min_size=1,
    )
)
def test_a_pause_file_says_what_was_written(until_ns: dict[str, int | None]) -> None:
    assert parse_pauses(Pauses(until_ns).to_text()).until_ns == until_ns


@pytest.mark.parametrize("text", ["S1 soon", "S1 for 2 hours"])
def test_a_pause_that_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_pauses(text)


def test_nobody_paused_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "pause"
    write_pauses(path, Pauses({"S1": None}))
    assert read_pauses(path).until_ns == {"S1": None}
    write_pauses(path, Pauses())
    assert not path.exists()
    assert read_pauses(path).until_ns == {}
    assert list(tmp_path.iterdir()) == []


def test_a_pause_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be written"):
        write_pauses(tmp_path / "nowhere" / "pause", Pauses({"S1": None}))


@pytest.mark.parametrize(("text", "seconds"), [("90min", 5400), ("2h", 7200), ("1 d", 86400)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration_ns(text) == seconds * NS_PER_S


@pytest.mark.parametrize("text", ["", "2", "0h", "-1h", "2 weeks", "1e3h", "h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match="needed is one such as"):
        parse_duration_ns(text)


def test_the_roster_follows_registry_and_pause_file(
    installation: Installation, clock: VirtualClock, tmp_path: Path
) -> None:
    def second(number: int) -> int:
        return began_ns + number * NS_PER_S

    began_ns = clock.now_ns()
    with installation.registry() as registry:
        for subject in ("S1", "S2"):
            registry.people.add_subject(subject, "UTC")
        registry.people.pair(SENSOR, "S1")
        roster = registry_roster(registry.people, tmp_path / "pause")
        assert roster.worn(second(0)) == {SENSOR: Wearing(SENSOR, "S1", began_ns)}
        registry.people.pair(SENSOR, "S2", from_ns=second(5))
        asyncio.run(roster.refresh())
        assert roster.worn(second(4)) == {SENSOR: Wearing(SENSOR, "S1", began_ns, second(5))}
        assert roster.worn(second(5))[SENSOR].subject_id == "S2"
        assert registry.people.unpair(SENSOR, at_ns=second(9)) == "S2"
        asyncio.run(roster.refresh())
        assert roster.worn(second(9)) == {}
        (tmp_path / "pause").touch()
        asyncio.run(roster.refresh())
        assert roster.is_paused("S1", second(0))


def test_one_sensor_never_has_two_wearers(installation: Installation, clock: VirtualClock) -> None:
    began_ns = clock.now_ns()
    with installation.registry() as registry:
        people = registry.people
        for subject in ("S1", "S2"):
            people.add_subject(subject, "UTC")
        people.pair(SENSOR, "S1")
        people.unpair(SENSOR, at_ns=began_ns + 5)
        with pytest.raises(RefusedError, match="later than the time asked for"):
            people.pair(SENSOR, "S2", from_ns=began_ns + 4)
        people.pair(SENSOR, "S2")
        assert people.worn_now() == {SENSOR: "S1"}
        spans = [(each.subject_id, each.from_ns, each.to_ns) for each in people.wearings(0)]
        assert spans == [("S1", began_ns, began_ns + 5), ("S2", began_ns + 5, None)]
        clock.advance_to(began_ns + 5)
        assert people.worn_now() == {SENSOR: "S2"}


def test_a_sensor_worn_before_it_was_paired(installation: Installation, clock: VirtualClock) -> None:
    now_ns = clock.now_ns()
    day_ns = 86_400 * NS_PER_S
    with installation.registry() as registry:
        people = registry.people
        for subject in ("S1", "S2"):
            people.add_subject(subject, "UTC")
        people.pair(SENSOR, "S1", from_ns=now_ns - 5 * day_ns)
        with pytest.raises(RefusedError, match=r"was worn by S1 from .* to this day, .* unpair it first"):
            people.pair(SENSOR, "S2", from_ns=now_ns - 3 * day_ns)
        people.unpair(SENSOR, at_ns=now_ns - 3 * day_ns)
        for from_ns in (now_ns - 6 * day_ns, now_ns - 4 * day_ns):
            with pytest.raises(
                RefusedError, match=r"was worn by S1 from .* until .*; name a time from then on"
            ):
                people.pair(SENSOR, "S2", from_ns=from_ns)
        people.pair(SENSOR, "S2")
        people.pair(SENSOR, "S2", from_ns=now_ns - 2 * day_ns)  # paired too late: mended
        with pytest.raises(RefusedError, match="was worn by S1"):
            people.pair(SENSOR, "S2", from_ns=now_ns - 4 * day_ns)
        people.pair(SENSOR, "S2", from_ns=now_ns - day_ns)  # known already
        spans = [(each.subject_id, each.from_ns, each.to_ns) for each in people.wearings(0)]
    assert spans == [
        ("S1", now_ns - 5 * day_ns, now_ns - 3 * day_ns),
        ("S2", now_ns - 2 * day_ns, None),
    ]


def test_what_nobody_wears_cannot_be_unpaired(installation: Installation) -> None:
    with installation.registry() as registry, pytest.raises(UnknownError, match="Nobody wears"):
        registry.people.unpair(SENSOR)


def test_a_pause_file_that_is_damaged_pauses_everybody_and_is_said_once(tmp_path: Path, caplog) -> None:
    path = tmp_path / "pause"
    roster = Roster(list, lambda: read_pauses(path))
    assert not roster.is_paused("S1", 0)
    path.write_bytes(b"\xff\xfe")
    for _ in range(3):
        asyncio.run(roster.refresh())
    assert roster.is_paused("S1", 0)
    assert caplog.text.count("until then everybody is paused") == 1


def test_a_registry_that_is_away_neither_ends_what_is_worn_nor_keeps_anybody_from_pausing(caplog) -> None:
    paused = Pauses()
    worn: list[Wearing] | None = [Wearing(SENSOR, "S1", 0)]

    def wearings() -> list[Wearing]:
        if worn is None:
            raise StoreUnavailableError("The registry is locked")
        return worn

    roster = Roster(wearings, lambda: paused)
    worn, paused = None, Pauses({EVERYBODY: None})
    for _ in range(3):
        asyncio.run(roster.refresh())
    assert roster.worn(START_NS) == {SENSOR: Wearing(SENSOR, "S1", 0)}
    assert roster.is_paused("S1", START_NS)
    assert caplog.text.count("The registry is locked") == 1


async def remember(memory: WearableMemory, clock: VirtualClock, **numbers: int) -> None:
    for key, value in numbers.items():
        memory.remember("S1", SENSOR, key, value)
    saving = asyncio.create_task(memory.save_changes(clock))
    await asyncio.sleep(0.05)
    saving.cancel()
    await asyncio.gather(saving, return_exceptions=True)


async def test_numbers_are_remembered_for_one_person_over_restarts(tmp_path: Path, clock) -> None:
    path = tmp_path / "wearables.json"
    order: list[bool] = []
    await remember(WearableMemory(path, lambda: order.append(path.exists())), clock, day=20_000)
    again = WearableMemory(path)
    assert dict(again.of("S1", SENSOR)) == {"day": 20_000}
    assert dict(again.of("S2", SENSOR)) == {}
    assert order == [False]


async def test_what_the_spool_did_not_take_is_not_remembered(tmp_path: Path, clock, caplog) -> None:
    path = tmp_path / "wearables.json"

    def refuse() -> None:
        raise HomeError("The spool failed; check the disk")

    await remember(WearableMemory(path, refuse), clock, day=20_000)
    assert not path.exists()
    assert "tried again in 60 s" in caplog.text


def test_a_damaged_memory_is_forgotten(tmp_path: Path, caplog) -> None:
    path = tmp_path / "wearables.json"
    path.write_text("{")
    assert dict(WearableMemory(path).of("S1", SENSOR)) == {}
    assert "asked again" in caplog.text
