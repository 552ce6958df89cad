"""The ledger over a real store: what is lost, changed or added is named; what is honest is not."""

import sqlite3
import stat
import threading
from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest

from store.clock import VirtualClock
from store.errors import HomeError
from store.gaps import Reason
from store.installation import Installation
from store.ledger import Disagreement, Ledger, Use, open_ledger
from store.ledger_digest import NS_PER_HOUR, HourCounters, hourly_totals, sample_digest
from store.ledger_run import reconcile_all
from store.ledger_verdict import Finding
from store.sqlite_connection import SqliteConnection
from store.streams import BATTERY, HEART_RATE, LINK_STATE, RR_INTERVAL
from store.timeseries import Batch, TimeSeriesStore
from store.units import NS_PER_S

DAY = date(2026, 1, 5)
DAY_NS = 1_767_571_200_000_000_000
NOON_NS = DAY_NS + 12 * NS_PER_HOUR
STEP_NS = 5 * NS_PER_S
NEXT_NS = DAY_NS + 24 * NS_PER_HOUR


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NEXT_NS + NS_PER_HOUR)


@pytest.fixture
def ledger(installation: Installation, clock: VirtualClock) -> Ledger:
    return open_ledger(installation.home, clock)


def rr(start_ns: int = NOON_NS, n: int = 1800, *, subject: str = "S1", sensor: str = "A") -> Batch:
    t_ns = start_ns + np.arange(n) * STEP_NS
    return Batch(RR_INTERVAL, subject, sensor, t_ns, {"rr_ms": 800.0 + np.arange(n) % 7})


def heart(start_ns: int, n: int) -> Batch:
    values = {"heart_rate_bpm": np.full(n, 70.0), "skin_contact": np.ones(n), "energy_kj": np.full(n, np.nan)}
    return Batch(HEART_RATE, "S1", "A", start_ns + np.arange(n) * NS_PER_S, values)


class Gateway:
    """Writes to a store and counts what was acknowledged, as a spool does."""

    def __init__(self, store: TimeSeriesStore, ledger: Ledger, name: str = "spool") -> None:
        self._store, self._ledger, self.name = store, ledger, name
        self.counters: dict[tuple[str, str, str, int], HourCounters] = {}
        self._newest_ns: dict[tuple[str, str, str], int] = {}

    def forward(self, *batches: Batch, is_lost: bool = False) -> None:
        """Write, and count as acknowledged; `is_lost` leaves the writing out."""
        for batch in batches:
            if not is_lost:
                self._store.write([batch])
            series = (batch.subject_id, batch.stream.name, batch.sensor_id)
            newest_ns = self._newest_ns.get(series, -1)
            digests = sample_digest(batch.stream, batch.t_ns, batch.values)
            for hour, total in hourly_totals(batch.t_ns, digests).items():
                again = int(((batch.t_ns // NS_PER_HOUR == hour) & (batch.t_ns <= newest_ns)).sum())
                held = self.counters.get((*series, hour), HourCounters(*series, hour, 0, 0, 0, 0))
                self.counters[*series, hour] = HourCounters(
                    *series,
                    hour,
                    held.spooled + total.count,
                    held.acknowledged + total.count,
                    held.rewritten + again,
                    (held.digest + total.digest) % 2**64,
                )
            self._newest_ns[series] = max(newest_ns, int(batch.t_ns.max()))

    def tell(self, waiting: dict[tuple[str, str], int] | None = None) -> int:
        """Let the ledger copy the counters."""
        return self._ledger.copy_counters(self.name, self.counters.values(), waiting or {})


@pytest.fixture
def gateway(store: TimeSeriesStore, ledger: Ledger) -> Gateway:
    return Gateway(store, ledger)


def delete(installation: Installation, stream: str, t_ns: Sequence[int]) -> None:
    """Delete samples behind the back of everybody."""
    behind = SqliteConnection(installation.home / "samples.sqlite", is_read_only=False)
    for t in t_ns:
        behind.rows(f"DELETE FROM samples_{stream} WHERE t_ns = ?", (t,))  # noqa: S608
    behind.close()


def summary(found: Sequence[Disagreement]) -> list[tuple]:
    return [
        (
            d.subject_id,
            d.stream,
            d.sensor_id,
            (d.hour_ns - DAY_NS) // NS_PER_HOUR,
            d.finding.value,
            d.expected,
            d.stored,
        )
        for d in found
    ]


def test_what_was_acknowledged_and_is_stored_is_proven(store, ledger, gateway):
    gateway.forward(rr(), heart(NOON_NS, 100))
    assert gateway.tell() == 4
    done = ledger.reconcile(store, "S1", DAY)
    assert (done.hours, done.samples, done.sealed, done.disagreements) == (4, 1900, 4, ())
    assert gateway.tell() == 0
    assert ledger.reconcile(store, "S1", DAY).sealed == 0
    (beats,) = [row for row in ledger.completeness() if row.stream == "rr_interval"]
    assert (beats.day, beats.spooled, beats.acknowledged, beats.stored) == (DAY, 1800, 1800, 1800)
    assert (beats.hours, beats.proven_hours, beats.wrong_hours) == (3, 3, 0)


def test_a_deleted_a_changed_and_an_added_sample_are_named(store, ledger, gateway, installation):
    gateway.forward(rr())
    gateway.tell()
    ledger.reconcile(store, "S1", DAY)
    delete(installation, "rr_interval", [NOON_NS])
    held = store.read(RR_INTERVAL, "S1", NOON_NS + NS_PER_HOUR, NOON_NS + NS_PER_HOUR + 1)
    changed = np.nextafter(held["rr_ms"], np.inf)
    store.write([Batch(RR_INTERVAL, "S1", "A", held.t_ns, {"rr_ms": changed})])
    store.write([rr(NOON_NS + 2 * NS_PER_HOUR + 1, 2)])
    expected = [
        ("S1", "rr_interval", "A", 12, "missing", 720, 719),
        ("S1", "rr_interval", "A", 13, "changed", 720, 720),
        ("S1", "rr_interval", "A", 14, "extra", 360, 362),
    ]
    assert summary(ledger.reconcile(store, "S1", DAY).disagreements) == expected
    assert summary(ledger.disagreements()) == expected
    # Looked at again it is still wrong; mended it is right, and proven by the old seal.
    assert summary(ledger.reconcile(store, "S1", DAY).disagreements) == expected
    store.write([rr()])
    delete(installation, "rr_interval", [NOON_NS + 2 * NS_PER_HOUR + 1])
    assert [d.finding for d in ledger.reconcile(store, "S1", DAY).disagreements] == [Finding.EXTRA]
    delete(installation, "rr_interval", [NOON_NS + 2 * NS_PER_HOUR + 1 + STEP_NS])
    assert ledger.reconcile(store, "S1", DAY).disagreements == ()
    assert ledger.disagreements() == []


def test_a_whole_series_that_vanished_is_missing_hour_by_hour(store, ledger, gateway, installation):
    gateway.forward(rr())
    gateway.tell()
    ledger.reconcile(store, "S1", DAY)
    delete(installation, "rr_interval", store.read(RR_INTERVAL, "S1").t_ns.tolist())
    found = reconcile_all(ledger, store, now_ns=NEXT_NS).disagreements
    assert [row[3:] for row in summary(found)] == [
        (12, "missing", 720, 0),
        (13, "missing", 720, 0),
        (14, "missing", 360, 0),
    ]


def test_acknowledged_but_never_stored_is_found_at_first_sight(store, ledger, gateway):
    gateway.forward(rr(n=100))
    gateway.forward(rr(NOON_NS + 600 * NS_PER_S, 20), is_lost=True)
    gateway.tell()
    assert summary(ledger.reconcile(store, "S1", DAY).disagreements) == [
        ("S1", "rr_interval", "A", 12, "missing", 120, 100)
    ]


def test_an_older_store_put_back_is_found(store, ledger, gateway, installation):
    gateway.forward(rr(n=100))
    gateway.tell()
    ledger.reconcile(store, "S1", DAY)
    later = rr(NOON_NS + 600 * NS_PER_S, 50)
    gateway.forward(later)
    delete(installation, "rr_interval", later.t_ns.tolist())
    gateway.tell()
    assert [d.finding for d in ledger.reconcile(store, "S1", DAY).disagreements] == [Finding.MISSING]


def test_a_recording_replayed_again_by_a_new_spool_is_proven_too(store, ledger):
    for number in range(3):
        replayed = Gateway(store, ledger, f"replay {number}")
        replayed.forward(rr())
        replayed.tell()
        assert ledger.reconcile(store, "S1", DAY).disagreements == ()
    (beats,) = ledger.completeness()
    assert (beats.acknowledged, beats.stored, beats.proven_hours) == (5400, 1800, 3)


def test_a_log_downloaded_again_is_sealed_anew_and_then_guarded(store, ledger, gateway, installation):
    for n in (300, 500, 700):
        gateway.forward(rr(n=n))
        gateway.tell()
    assert ledger.reconcile(store, "S1", DAY).disagreements == ()
    (beats,) = ledger.completeness()
    assert (beats.stored, beats.proven_hours, beats.wrong_hours) == (700, 0, 0)
    delete(installation, "rr_interval", [NOON_NS])
    assert summary(ledger.reconcile(store, "S1", DAY).disagreements)[0][4:] == ("missing", 700, 699)


def test_data_that_no_spool_brought_are_sealed_when_first_seen(store, ledger, installation):
    store.write([rr()])
    done = ledger.reconcile(store, "S1", DAY)
    assert (done.sealed, done.disagreements) == (3, ())
    assert ledger.completeness()[0].proven_hours == 0
    delete(installation, "rr_interval", [NOON_NS])
    assert [d.finding for d in ledger.reconcile(store, "S1", DAY).disagreements] == [Finding.MISSING]


def test_samples_on_their_way_are_no_alarm_but_lost_ones_are(store, ledger, gateway, installation):
    gateway.forward(rr(n=700))
    store.write([rr(n=720)])  # stored, and acknowledged once their records are settled
    gateway.tell({("S1", "A"): NOON_NS + 59 * 60 * NS_PER_S})
    done = ledger.reconcile(store, "S1", DAY)
    assert (done.sealed, done.disagreements) == (0, ())
    delete(installation, "rr_interval", range(NOON_NS, NOON_NS + 30 * STEP_NS, STEP_NS))
    assert [d.finding for d in ledger.reconcile(store, "S1", DAY).disagreements] == [Finding.MISSING]


def test_what_waits_in_a_spool_that_is_gone_waits_no_more(store, ledger, gateway):
    gateway.forward(rr(n=100))
    gateway.tell({("S1", "A"): NOON_NS})
    ledger.keep_waiting([gateway.name])
    store.write([rr(n=101)])
    assert ledger.reconcile(store, "S1", DAY).sealed == 0
    ledger.keep_waiting([])
    assert ledger.reconcile(store, "S1", DAY).sealed == 1


def test_what_is_acknowledged_while_the_store_is_read_is_no_alarm(store, ledger, gateway):
    gateway.forward(rr(n=100))
    gateway.tell()
    ledger.reconcile(store, "S1", DAY)
    gateway.forward(rr(NOON_NS + 600 * NS_PER_S, 50))  # the ledger has not heard of these yet
    assert [d.finding for d in ledger.reconcile(store, "S1", DAY).disagreements] == [Finding.EXTRA]
    assert ledger.reconcile(store, "S1", DAY, recount=gateway.tell).disagreements == ()


def test_the_current_hour_is_left_alone_until_it_is_over(store, ledger, installation):
    now = open_ledger(installation.home, VirtualClock(NOON_NS + NS_PER_HOUR // 2))
    store.write([rr(n=300)])
    assert now.reconcile(store, "S1", DAY).sealed == 0
    assert ledger.reconcile(store, "S1", DAY).sealed == 1


def test_each_day_counts_its_own_samples_only(store, ledger, gateway):
    gateway.forward(heart(NEXT_NS - 200 * NS_PER_S, 400), rr(NEXT_NS - 200 * NS_PER_S, 80))
    gateway.tell()
    assert ledger.reconcile(store, "S1", DAY).samples == 240
    done = ledger.reconcile(store, "S1", date(2026, 1, 6))
    assert (done.hours, done.samples, done.disagreements) == (2, 240, ())


def test_changes_are_told_once_and_in_order(store, ledger, gateway):
    start = ledger.changed_since(0)
    assert start.hours == frozenset()
    gateway.forward(rr(n=800))
    gateway.tell()
    hour = NOON_NS // NS_PER_HOUR
    first = ledger.changed_since(start.mark)
    assert first.hours == {("S1", "rr_interval", hour), ("S1", "rr_interval", hour + 1)}
    ledger.reconcile(store, "S1", DAY)  # finds what it was told: no news
    assert ledger.changed_since(first.mark).hours == frozenset()
    gateway.forward(rr(NOON_NS + 4000 * NS_PER_S + 1, 1))
    gateway.tell()
    second = ledger.changed_since(first.mark)
    assert second.hours == {("S1", "rr_interval", hour + 1)}
    store.write([rr(NOON_NS + 5 * NS_PER_HOUR, 3)])  # nobody says so
    ledger.reconcile(store, "S1", DAY)
    assert ledger.changed_since(second.mark).hours == {("S1", "rr_interval", hour + 5)}
    assert ledger.changed_since(second.mark).mark > second.mark > first.mark
    assert ledger.changed_since(0).hours >= first.hours


def test_an_accepted_difference_is_sealed_and_guarded_from_then_on(store, ledger, gateway, installation):
    gateway.forward(rr())
    gateway.tell()
    ledger.reconcile(store, "S1", DAY)
    delete(installation, "rr_interval", [NOON_NS])
    found = ledger.reconcile(store, "S1", DAY).disagreements
    assert ledger.accept(store, found, "erased on request") == 1
    assert ledger.disagreements() == []
    assert ledger.reconcile(store, "S1", DAY).disagreements == ()
    store.write([rr(n=1)])
    assert [d.finding for d in ledger.reconcile(store, "S1", DAY).disagreements] == [Finding.EXTRA]


def test_gaps_are_kept_by_day_and_only_while_somebody_is_watched(store, ledger, gateway):
    states = {"state": np.array(["disconnected"], object), "reason": np.array([""], object)}
    link = Batch(LINK_STATE, "S1", "A", np.array([NOON_NS + 3600 * NS_PER_S]), states)
    gateway.forward(heart(NOON_NS, 3571), link)
    gateway.tell()
    ledger.reconcile(store, "S1", DAY, watched_ns=(NOON_NS, NEXT_NS - 6 * NS_PER_HOUR))
    (day,) = ledger.coverage()
    assert (day.start_ns, day.end_ns) == (NOON_NS, NEXT_NS - 6 * NS_PER_HOUR)
    assert day.covered_h == pytest.approx(1)
    assert day.gap_hours == {Reason.OUT_OF_RANGE: pytest.approx(5)}
    ledger.reconcile(store, "S1", DAY)
    (day,) = ledger.coverage(["S1"], DAY_NS)
    assert day.gap_hours == {Reason.OUT_OF_RANGE: pytest.approx(11), Reason.UNKNOWN: pytest.approx(12)}
    assert ledger.coverage(["S2"]) == ledger.coverage(None, NEXT_NS) == []


def test_uses_replace_each_other_where_they_are_of_the_same_stretch(store, ledger):
    half_ns = NOON_NS + NS_PER_HOUR // 2  # noon in Kolkata is at half past an hour of UTC
    series = ("S1", "rr_interval", "A")
    windows = [
        Use(series, np.array([NOON_NS, NOON_NS + 300 * NS_PER_S]), np.array([10, 20]), NOON_NS - NS_PER_HOUR),
        Use(series, np.array([half_ns, NOON_NS + NS_PER_HOUR]), np.array([5, 7]), half_ns),
    ]
    for _ in range(2):
        ledger.note_used("features", windows)
    assert ledger.completeness()[0].used == 42
    ledger.note_used("features", [Use(series, np.array([half_ns]), np.array([6]), half_ns)])
    ledger.note_exported("S1", NOON_NS, NOON_NS + NS_PER_HOUR)
    (day,) = ledger.completeness()
    assert (day.used, day.exported) == (43, 36)
    ledger.note_exported("S1")
    assert ledger.completeness()[0].exported == 43


def test_a_spool_that_forgot_old_hours_takes_nothing_back(store, ledger, gateway):
    gateway.forward(rr())
    gateway.tell()
    key = next(iter(gateway.counters))
    gateway.counters = {key: HourCounters(*key, 5, 5, 0, 1)}  # began again after it forgot the hour
    gateway.tell()
    assert ledger.completeness()[0].acknowledged == 1800
    assert ledger.reconcile(store, "S1", DAY).disagreements == ()


def test_everything_of_a_subject_can_be_forgotten(store, ledger, gateway):
    gateway.forward(rr(), rr(subject="S2"))
    gateway.tell({("S1", "A"): NOON_NS})
    for who in ("S1", "S2"):
        ledger.reconcile(store, who, DAY)
    ledger.forget("S1")
    assert ledger.subjects() == ["S2"]
    assert {row.subject_id for row in ledger.completeness()} == {"S2"}
    assert {row.subject_id for row in ledger.coverage()} == {"S2"}
    assert {who for who, _, _ in ledger.changed_since(0).hours} == {"S2"}


def test_everybody_and_every_day_is_reconciled(store, ledger, gateway):
    gateway.forward(rr(), rr(NOON_NS + 3 * NS_PER_HOUR * 24, subject="S2", sensor="B"))
    level = {"level_pct": np.array([5.0])}
    gateway.forward(Batch(BATTERY, "S1", "A", np.array([NOON_NS - 30 * NS_PER_HOUR]), level))
    asked: list[tuple[int, int]] = []
    done = reconcile_all(
        ledger,
        store,
        now_ns=NEXT_NS + 40 * 24 * NS_PER_HOUR,
        recount=gateway.tell,
        progress=lambda *counts: asked.append(counts),
    )
    assert (done.hours, done.samples, done.disagreements) == (7, 3601, ())
    assert [(day.subject_id, day.day.day) for day in ledger.coverage()] == [("S1", 4), ("S1", 5), ("S2", 8)]
    assert asked == [(1, 3), (2, 3), (3, 3)]
    again = reconcile_all(ledger, store, now_ns=NEXT_NS, subjects=["S1"], since_ns=NOON_NS)
    assert again.samples == 1800


def test_who_still_had_data_this_month_is_watched_until_now(store, ledger, gateway):
    gateway.forward(heart(NOON_NS, 60))
    gateway.tell()
    reconcile_all(ledger, store, now_ns=NEXT_NS + NS_PER_HOUR)
    ends_ns = [(day.day.day, day.end_ns) for day in ledger.coverage()]
    assert ends_ns == [(5, NEXT_NS), (6, NEXT_NS + NS_PER_HOUR)]


def test_several_processes_may_open_and_write_at_once(installation, clock):
    ledgers: list[Ledger] = []

    def work(number: int) -> None:
        mine = open_ledger(installation.home, clock)
        for hour in range(20):
            mine.copy_counters(f"spool {number}", [HourCounters("S1", "battery", "A", hour, 1, 1, 0, 7)], {})
        ledgers.append(mine)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledgers[0].completeness()[0].acknowledged == 80


def test_only_the_owner_can_read_it(ledger, installation):
    assert stat.S_IMODE((installation.home / "ledger.sqlite").stat().st_mode) == 0o600


def test_a_newer_or_foreign_file_is_refused_with_a_sentence(installation, clock, tmp_path):
    foreign = tmp_path / "ledger.sqlite"
    foreign.write_text("something else entirely, and long enough to be a database header of some kind" * 3)
    with pytest.raises(HomeError, match="check its owner"):
        Ledger(foreign, clock)
    newer = tmp_path / "newer.sqlite"
    database = sqlite3.connect(newer)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(HomeError, match="newer evenkeel"):
        Ledger(newer, clock)


def test_the_same_holds_on_influxdb(influx, ledger):
    bucket = influx.new_buckets()
    with influx.open(bucket) as server:
        gateway = Gateway(server, ledger)
        gateway.forward(rr(), heart(NOON_NS, 100))
        gateway.tell()
        assert ledger.reconcile(server, "S1", DAY).disagreements == ()
        assert all(row.proven_hours == row.hours for row in ledger.completeness())
        influx.write_lines(f"{bucket}-raw", f"rr_interval,subject=S1,sensor=A rr_ms=801.5 {NOON_NS}")
        influx.write_lines(
            f"{bucket}-raw", f"rr_interval,subject=S1,sensor=A rr_ms=800 {NOON_NS + NS_PER_HOUR + 1}"
        )
        assert summary(ledger.reconcile(server, "S1", DAY).disagreements) == [
            ("S1", "rr_interval", "A", 12, "changed", 720, 720),
            ("S1", "rr_interval", "A", 13, "extra", 720, 721),
        ]


def test_hours_without_consent_are_said_to_be(ledger, store, clock):
    """Withdrawal explains what comes after it, and nothing before."""
    store.write([rr(), heart(NOON_NS, 3600)])
    withdrawn = [(NOON_NS + 3 * NS_PER_HOUR, (1 << 63) - 1)]
    reconcile_all(ledger, store, now_ns=clock.now_ns(), withdrawn=lambda _subject, _streams: withdrawn)
    first = ledger.coverage()[0]
    assert first.gap_hours[Reason.WITHDRAWN] == pytest.approx(9)
    assert sum(first.gap_hours.values()) - 9 == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("kind", ["sqlite", "influx"])
def test_without_heart_rate_an_optical_sensor_leaves_a_gap_that_says_so(kind, installation, ledger, request):
    """Heart rate alone is withdrawn at three: a sensor that sends nothing else has no data from then on."""
    influx = request.getfixturevalue("influx") if kind == "influx" else None
    opened = installation.timeseries() if influx is None else influx.open(influx.new_buckets())
    with installation.registry() as registry, opened as store:
        registry.people.add_subject("S1", "UTC")
        store.write([heart(NOON_NS, 3 * 3600)])
        at_ns = NOON_NS + 3 * NS_PER_HOUR
        registry.consents.record("S1", HEART_RATE.name, is_granted=False, by="a test", at_ns=at_ns)
        reconcile_all(ledger, store, now_ns=NEXT_NS, withdrawn=registry.consents.withdrawn)
    assert ledger.coverage()[0].gap_hours == {Reason.WITHDRAWN: pytest.approx(9, abs=0.01)}
