"""Run one benchmark by name."""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.table import keep, show

NAMES = {
    "ceiling": "what could be found at all: a detector told the change and not its onset, at the same price",
    "chance": "how many flags are chance: as said, beside what people see who took no part in saying it",
    "clicks": "50 clinicians click while 50 straps stream: errors, callbacks, memory; --full is ten minutes",
    "dashboard": "pages beside Streamlit, Bokeh and Panel: until they can be used, and what they weigh",
    "hrv": "HRV beside other packages: the same values, the time of a window, thirty patient-days",
    "movement": "rhythm, wear, activity and raw acceleration beside other packages: values, then time",
    "screen": "strap to screen: when a heart rate that a strap sent stands on the live page in a browser",
    "sleep": "ten families of sleep and rhythm, raw acceleration and counts beside peers: values, then time",
    "sleep-accuracy": "sleep and stages against polysomnography; --score DIR fits nothing",
    "sleep-speed": "sleep scorers beside pyActigraphy: every minute, then the time of thirty days",
    "spine": "strap to store: latency, samples per second, and what each stage can do alone",
    "spool": "the spool: bytes for a month, durable records a second, a power cut at every step, the fold",
    "artefacts": "what each cleaning rule does to RMSSD on annotated recordings; writes docs/artefacts.md",
    "jobs": "nightly jobs: cost of a night and how it grows, workers, stores, late data (8 minutes)",
    "collector": "200 wearables, 200 kills, dead links, reconnects, a day of 50 straps; --full takes 40 min",
    "flags": "a thousand people, a year of days each, through the shipped model; a batch beside day by day",
    "fuzz": "every decoder with frames that no wearable ever sent",
    "raw-injection": "changes in raw samples on real recordings: asked, and what markers show of it",
    "store": "both stores and the ledger: in, out, live, bytes, and no loss that goes unseen",
}


def main() -> int:
    """Run the benchmark named on the command line; 1 if a goal is missed."""
    names = "\n".join(f"  {name:12s}{what}" for name, what in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", epilog=names, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(NAMES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--full", action="store_true", help="the long version")
    parser.add_argument("--score", type=Path, metavar="DIR", help="sleep-accuracy: score this folder")
    asked = parser.parse_args()
    measured = importlib.import_module(f"benchmarks.{asked.name.replace('-', '_')}")
    more = {} if asked.score is None else {"score": asked.score}
    rows = measured.run(is_full=asked.full, **more)
    show(rows)
    if asked.json:
        keep(rows, asked.json)
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
