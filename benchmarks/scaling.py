"""Works out what many people need from what `benchmarks jobs` measured; the tables of docs/scaling.md."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scaling.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PEOPLE = (10, 1_000, 100_000, 10_000_000)
WINDOW_H = 4
"""The nights of everybody are done within so many hours."""
BUSY_FRAC = 0.8
"""Of the time of its cores, so much is used: the rest is for late data and other work."""
YEAR_D = 365
FIELDS = 2
"""Of a beat in InfluxDB: its length, and which columns are missing."""
INFLUX_FIELDS_PER_S = 750_000
"""What its vendor's sizing guide gives one node, field writes a second."""
CORE_HOUR, SSD_GB_MONTH, OBJECT_GB_MONTH = 0.05, 0.10, 0.023
"""Prices that stand for any: a core for an hour, a GB for a month."""

MEANINGS: Mapping[str, str] = {
    "night_cpu_s": "processor time of a subject-night, embedded store, s",
    "embedded_s": "wall time of a subject-night, one process, embedded store, s",
    "lake_s": "... lake, s",
    "influx_s": "... InfluxDB on the same machine, s",
    "embedded_read_pct": "share of it that is reading, embedded store, %",
    "lake_read_pct": "... lake, %",
    "influx_read_pct": "... InfluxDB, %",
    "embedded_mb": "samples of a subject-night, embedded store, MB",
    "lake_mb": "... lake, MB",
    "influx_mb": "... InfluxDB, MB",
    "samples": "samples of a subject-night",
    "writer_s": "processor time of the one process that writes, a subject-night, s",
    "late_pct": "one late beat among 1,000 nights, of computing all of them, %",
    "idle_s": "a run that finds nothing to do, 1,000 people, in a process that is started already, s",
    "memory_mb": "memory of a process that computes a year of one person, MB",
}


def write(measured: Mapping[str, float]) -> None:
    """Replace the tables of the page."""
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{tables(measured)}\n{END}{after}")


def tables(measured: Mapping[str, float]) -> str:
    """Return what was measured and what follows from it, as Markdown."""
    figures = "\n".join(
        f"| {meaning} | {measured[key]:,.4g} |" for key, meaning in MEANINGS.items() if key in measured
    )
    columns = [needs(people, measured) for people in PEOPLE]
    lines = [f"| {name} | " + " | ".join(column[name] for column in columns) + " |" for name in columns[0]]
    heads = " | ".join(f"{people:,}" for people in PEOPLE)
    return (
        f"Measured on {machine()}:\n\n| | |\n|---|---|\n{figures}\n\n"
        f"What follows:\n\n| people | {heads} |\n|---|{'---|' * len(PEOPLE)}\n" + "\n".join(lines)
    )


def needs(people: int, measured: Mapping[str, float]) -> dict[str, str]:
    """Return what so many people need who wear a strap day and night."""
    core_s = people * measured["night_cpu_s"]
    cores = core_s / (WINDOW_H * 3600 * BUSY_FRAC)
    writers = people * measured["writer_s"] / (WINDOW_H * 3600 * BUSY_FRAC)
    fields_per_s = people * measured["samples"] * FIELDS / 86_400
    embedded_gb, influx_gb, lake_gb = (
        people * measured[name] * YEAR_D / 1000 for name in ("embedded_mb", "influx_mb", "lake_mb")
    )
    month = 30 * core_s / 3600 * CORE_HOUR
    return {
        "processor time a night": _hours(core_s),
        f"cores, to be done in {WINDOW_H} h": _number(cores),
        "installations at least, as one process writes in each": _number(writers),
        "samples arriving a second": f"{people * measured['samples'] / 86_400:,.0f}",
        "InfluxDB nodes, by its vendor's guide": _number(fields_per_s / INFLUX_FIELDS_PER_S),
        "samples of a year, embedded": _bytes(embedded_gb),
        "... InfluxDB": _bytes(influx_gb),
        "... lake": _bytes(lake_gb),
        "computing, a month": _money(month),
        "the last year on an SSD (InfluxDB), a month": _money(influx_gb * SSD_GB_MONTH),
        "the same in a lake, object store, a month": _money(lake_gb * OBJECT_GB_MONTH),
    }


def machine() -> str:
    """Return what this machine is."""
    try:
        said = Path("/proc/cpuinfo").read_text()
        model = said.partition("model name")[2].partition(":")[2].partition("\n")[0].strip()
    except OSError:
        model = platform.processor()
    load = f"load {os.getloadavg()[2]:.1f} of the last quarter of an hour"
    return (
        f"{model or platform.machine()}, {os.cpu_count()} cores, {load}, Python {platform.python_version()}"
    )


def _number(value: float) -> str:
    return f"{max(1, -(-value // 1)):,.0f}"


def _hours(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def _bytes(gb: float) -> str:
    for unit in ("GB", "TB"):
        if gb < 1000:
            return f"{gb:,.3g} {unit}"
        gb /= 1000
    return f"{gb:,.3g} PB"


def _money(value: float) -> str:
    return "less than 1" if value < 1 else f"{float(f'{value:.2g}'):,.0f}"
