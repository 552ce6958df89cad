"""Jobs on a real InfluxDB: its own notes find late samples, and the result is that of one run over all.

The same nights are computed from an embedded store as reference: whichever store, the same bits.
"""

import numpy as np
import pytest

from features.job import run_features
from features.nights import NIGHT_STREAM
from features.windows import WINDOW_STREAM
from store.clock import VirtualClock
from store.influx import InfluxTimeSeries
from store.influx_written import CLOCKS_APART_NS
from store.lake import Lake
from store.lake_sync import check_lake, sync_lake
from store.streams import RR_INTERVAL
from store.timeseries import Batch
from tests.unit.test_incremental import SETTINGS, night_batches, table

NIGHTS = 5


@pytest.fixture
def served(influx, clock):
    """A store whose clock stands still until a test says otherwise."""
    with InfluxTimeSeries(
        influx.url, org=influx.org, token=influx.token, bucket=influx.new_buckets(), clock=clock
    ) as opened:
        yield opened


@pytest.fixture
def subject(registry) -> str:
    return registry.people.add_subject("S1", "Europe/Berlin").subject_id


def run(store, registry, **more):
    return run_features(store, registry, SETTINGS, now_ns=1, **more)


def later(clock: VirtualClock) -> None:
    """Let as much time pass as clocks of gateways may differ: what was written is old now."""
    clock.advance_to(clock.now_ns() + 2 * CLOCKS_APART_NS)


def test_late_samples_give_what_one_run_over_everything_gives(served, store, registry, subject, clock):
    batches = [batch for day in range(NIGHTS) for batch in night_batches(day, hours=0.5)]
    beats = [batch for batch in batches if batch.stream == RR_INTERVAL]
    late = Batch(RR_INTERVAL, "S1", "A", beats[1].t_ns[:300], {"rr_ms": beats[1].values["rr_ms"][:300]})
    held_back = beats[1].t_ns[300:], beats[1].values["rr_ms"][300:]
    served.write([batch for batch in batches if batch is not beats[1]] + [late])
    assert run(served, registry).nights == NIGHTS
    later(clock)
    assert run(served, registry).unchanged == NIGHTS
    later(clock)
    assert run(served, registry).unchanged == 0
    served.write([Batch(RR_INTERVAL, "S1", "A", held_back[0], {"rr_ms": held_back[1]})])
    done = run(served, registry)
    assert (done.nights, done.failed) == (NIGHTS - 1, ())  # the night, and those whose week it is in
    store.write(batches)
    run(store, registry)
    assert table(served) == table(store)
    run(served, registry, is_all=True)
    assert table(served) == table(store)


def test_a_lake_of_it_gives_the_same(served, store, registry, subject, clock, tmp_path):
    batches = [batch for day in range(3) for batch in night_batches(day + 5, hours=0.5)]
    served.write(batches)
    store.write(batches)
    run(store, registry)
    lake = str(tmp_path / "lake")
    assert sync_lake(served, lake).failed == ()
    later(clock)
    assert sync_lake(served, lake).samples == sum(
        map(len, batches)
    )  # looked at once more: see CLOCKS_APART_NS
    later(clock)
    assert sync_lake(served, lake).files == 0
    assert check_lake(lake).failed == ()
    with Lake(lake) as source:
        assert run(served, registry, source=source).nights == 3
    for stream in (NIGHT_STREAM, WINDOW_STREAM):
        found, wanted = served.read(stream, "S1"), store.read(stream, "S1")
        for name in set(stream.column_names()) - {"job_id", "computed_ns"}:
            np.testing.assert_array_equal(found[name], wanted[name])
