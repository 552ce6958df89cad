"""From a spool through the forwarder to the command: what somebody sees, and with which status it ends."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import evenkeel
from ingest.forwarder import Forwarder
from ingest.ledger_feed import Feed, feed_from
from ingest.records import Record, link_payload
from ingest.spool import Spool
from store.clock import VirtualClock
from store.installation import Installation
from store.ledger import Ledger, open_ledger
from store.ledger_digest import NS_PER_HOUR
from store.ledger_run import reconcile_all
from store.sqlite_connection import SqliteConnection
from store.streams import BATTERY
from store.timeseries import Batch
from store.units import NS_PER_S

START_NS = 1_767_643_200 * NS_PER_S
CLOCK = VirtualClock(START_NS + 3 * NS_PER_HOUR)
BEATS = 4000
LEVEL = {"level_pct": np.array([50.0])}


@pytest.fixture
def home(tmp_path) -> Installation:
    """Return an installation for which an hour and a bit was collected."""
    home = Installation(tmp_path / "home", CLOCK)
    with home.registry() as registry:
        registry.people.add_subject("S001", "Europe/Berlin")
    with home.timeseries() as store, Spool(home.spool_path(), CLOCK) as spool:
        forwarder = Forwarder(spool, store, CLOCK)
        forwarder.start()
        spool.put(link("connected", 0))
        for second in range(1, BEATS + 1):
            spool.put(packet(second))
        spool.put(link("stopped", BEATS + 1))
        forwarder.stop()
    return home


def packet(second: int) -> Record:
    at_ns = second * NS_PER_S
    payload = bytes.fromhex("163c0004")  # worn, 60 beats a minute, 1000 ms
    return Record("heart_rate_measurement", "S001", "AA", START_NS + at_ns, at_ns, payload)


def link(state, second: int) -> Record:
    at_ns = second * NS_PER_S
    return Record("link_state", "S001", "AA", START_NS + at_ns, at_ns, link_payload(state, ""))


@pytest.fixture
def run(home, monkeypatch, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["evenkeel", "--home", str(home.home), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            evenkeel.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def delete_one(path: Path) -> None:
    behind = SqliteConnection(path, is_read_only=False)
    behind.rows("DELETE FROM samples_rr_interval WHERE t_ns = (SELECT max(t_ns) FROM samples_rr_interval)")
    behind.close()


def test_a_store_that_kept_everything_is_proven_and_status_0(run):
    status, out, err = run("ledger", "--check")
    assert status == 0
    assert f"{2 * BEATS + 2:,} samples" in err
    assert "S001" in out
    assert "100%" in out
    assert "hours that disagree: 0" in out


def test_of_one_person_each_day_is_a_line_with_a_block_for_each_hour(run):
    """Collected from 20:00 for an hour and seven minutes, and never again."""
    _, out, _ = run("ledger", "--check")
    (line,) = [line for line in out.splitlines() if line.startswith("  2026-01-05  ")]
    assert line[14:38] == " " * 20 + "██  "


def test_of_several_people_each_is_a_line_with_a_block_for_each_day(run, home):
    with home.registry() as registry:
        registry.people.add_subject("S002", "Europe/Berlin")
    days_ns = START_NS - 24 * NS_PER_HOUR * np.array([3, 1])
    level = {"level_pct": np.array([50.0, 50.0])}
    with home.timeseries() as store:
        store.write([Batch(BATTERY, "S002", "BB", days_ns, level)])
    _, out, _ = run("ledger", "--check")
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("S00")}
    assert lines["S001"][6:16] == "   █" + " " * 6
    assert lines["S002"][6:16] == "··· " + " " * 6
    assert lines["S002"].endswith("unknown 48.0 h")


def test_before_anything_was_reconciled_it_says_how(run):
    status, out, _ = run("ledger")
    assert (status, out) == (0, "Nothing has been reconciled yet; do it with: evenkeel ledger --check\n")


def test_a_lost_beat_is_named_and_status_3_until_it_is_accepted(run, home):
    run("ledger", "--check")
    delete_one(home.home / "samples.sqlite")
    status, out, _ = run("ledger", "--check", "--subject", "S001")
    assert status == 3
    assert (
        "MISSING: S001 rr_interval AA, hour of 2026-01-05T21:00:00Z: 400 samples stored, 401 expected" in out
    )
    assert run("ledger")[0] == 3
    status, out, err = run("ledger", "--check", "--accept", "a test of ours")
    assert (status, "1 hours accepted" in err) == (0, True)
    assert run("ledger", "--check")[0] == 0


def test_everything_as_json(run):
    run("ledger", "--check")
    status, out, _ = run("ledger", "--format", "json", "--since", "2026-01-05")
    told = json.loads(out)
    assert status == 0
    (day,) = told["days"][:1]
    assert (day["subject_id"], day["day"]) == ("S001", "2026-01-05")
    assert day["gap_hours"].keys() == {"unknown"}  # the second before the first packet
    beats = next(row for row in told["streams"] if row["stream"] == "rr_interval")
    assert beats["acknowledged"] == beats["stored"] == beats["spooled"] == BEATS
    assert told["disagreements"] == []
    assert json.loads(run("ledger", "--format", "json", "--since", "2027-01-01")[1])["streams"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--accept", "because"], "give both"),
        (["--subject", "S002"], "No subject is called 'S002'"),
        (["--since", "yesterday"], "--since is 'yesterday'"),
    ],
)
def test_refusals(run, arguments, said):
    status, _, err = run("ledger", *arguments)
    assert status == 2
    assert said in err


def test_counters_are_copied_while_the_spool_is_in_use_and_when_it_is_gone(home):
    ledger = open_ledger(home.home, CLOCK)
    feed = Feed(ledger, home.spool_path().parent)
    with Spool(home.spool_path(), CLOCK) as spool:
        feed()
        before = ledger.completeness()
        feed_from(spool, ledger)
        assert ledger.completeness() == before
        spool.close(remove=True)
    feed()
    assert ledger.completeness() == before
    assert feed.failed == ()


def test_what_waited_in_a_spool_that_is_gone_is_waited_for_no_more(home):
    ledger = open_ledger(home.home, CLOCK)
    feed = Feed(ledger, home.spool_path().parent)
    with Spool(home.spool_path(), CLOCK) as spool:
        spool.put(packet(BEATS + 2))
        spool.flush()
        feed()
        spool.close(remove=True)
    with home.timeseries() as store:
        store.write([Batch(BATTERY, "S001", "AA", np.array([START_NS + NS_PER_HOUR]), LEVEL)])
        done = ledger.reconcile(store, "S001", date(2026, 1, 5))
        assert done.hours - done.sealed == 1  # the battery's: its record may be what waits
        feed()
        assert ledger.reconcile(store, "S001", date(2026, 1, 5)).sealed == 1


def test_a_spool_that_cannot_be_read_is_named(home, run):
    broken = home.spool_path("broken")
    broken.write_bytes(b"no database at all, but long enough to look at" * 50)
    status, _, err = run("ledger")
    assert status == 3
    assert f"The counters of the spool {broken} cannot be read" in err


def test_two_spools_of_one_sensor_add_up(home):
    ledger: Ledger = open_ledger(home.home, CLOCK)
    with home.timeseries() as store, Spool(home.spool_path("second"), CLOCK) as spool:
        forwarder = Forwarder(spool, store, CLOCK)
        forwarder.start()
        for second in range(BEATS + 100, BEATS + 200):
            spool.put(packet(second))
        spool.put(link("stopped", BEATS + 201))
        forwarder.stop()
    feed = Feed(ledger, home.spool_path().parent)
    feed()
    with home.timeseries() as store:
        done = reconcile_all(ledger, store, now_ns=CLOCK.now_ns(), recount=feed)
    assert done.disagreements == ()
    rows = {row.stream: row for row in ledger.completeness()}
    assert rows["rr_interval"].stored == rows["rr_interval"].acknowledged == BEATS + 100
    assert all(row.proven_hours == row.hours for row in rows.values())
