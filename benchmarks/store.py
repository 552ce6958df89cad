"""Both stores and the ledger: what goes in and out, how fast, how exactly, and that no loss goes unseen."""

from benchmarks import ledger, store_embedded, store_influx
from benchmarks.table import Row
from tests.influxd import ABSENT, influxd_binary


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` takes 10 million samples, a whole patient-month and 1,000 injected losses."""
    rows = store_embedded.run(is_full=is_full)
    if influxd_binary() is None:
        print(f"Only the embedded store is measured: {ABSENT}")
    else:
        rows += store_influx.run(is_full=is_full)
    return rows + ledger.run(is_full=is_full)
