"""How complete everybody's data are, as text for one screen: pictures of blocks, numbers and reasons."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby

from store.gaps import Reason
from store.ledger import Disagreement
from store.ledger_report import StreamDay, SubjectDay
from store.times import iso_time

DAYS_SHOWN = 14
"""Days of each person on the screen, the newest, unless --since asks for others."""
SHOWN_H = 1 / 3600
"""Shorter gaps, such as between connecting and the first packet, are left to the JSON."""
WHOLE = 0.99
"""Some seconds at the start of a day do not take its last eighth away."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING, _NOT_EXPECTED = "·", " "
_KEY = "█ all covered ... ▁ little, · nothing, blank not expected"


def screen(
    days: Sequence[SubjectDay],
    streams: Sequence[StreamDay],
    found: Sequence[Disagreement],
    *,
    days_shown: int | None = DAYS_SHOWN,
) -> Iterator[str]:
    """Yield the lines: one a person, or one a day if there is one person; then what disagrees.

    Parameters
    ----------
    days_shown : int or None
        The newest; None shows all.
    """
    if days:
        newest = max(day.day for day in days)
        oldest = date.min if days_shown is None else newest - timedelta(days=days_shown - 1)
        days = [day for day in days if day.day >= oldest]
        of_people = {who: list(held) for who, held in groupby(days, key=lambda day: day.subject_id)}
        show = _days_of_one if len(of_people) == 1 else _people
        yield from show(of_people, [row for row in streams if row.day >= oldest])
    for one in found:
        yield (
            f"{one.finding.value.upper()}: {one.subject_id} {one.stream} {one.sensor_id}, hour of "
            f"{iso_time(one.hour_ns)}: {one.stored:,} samples stored, {one.expected:,} expected"
        )
    if not days:
        yield "Nothing has been reconciled yet; do it with: evenkeel ledger --check"
        return
    newest_ns = max(day.reconciled_ns for day in days)
    yield f"Last reconciled {iso_time(newest_ns)}; hours that disagree: {len(found):,}"


def _people(of_people: dict[str, list[SubjectDay]], streams: Sequence[StreamDay]) -> Iterator[str]:
    """Yield a line for each person, with a block for each day."""
    every = [day.day for days in of_people.values() for day in days]
    first, last = min(every), max(every)
    wide, name = max((last - first).days + 1, 10), max(map(len, of_people))
    yield f"Days (UTC) {first} to {last}: {_KEY}"
    title = f"{'':{name}s}  {'a day each':{wide}s}"
    yield f"{title}    covered         stored  proven  why the rest is missing"
    for who, days in of_people.items():
        share = {day.day: day.covered_h / _watched_h(day) if _watched_h(day) else None for day in days}
        strip = "".join(_block(share.get(first + timedelta(days=k))) for k in range((last - first).days + 1))
        rows = [row for row in streams if row.subject_id == who]
        yield f"{who:{name}s}  {strip:{wide}s}  {_numbers(days, rows)}  {_reasons(days)}".rstrip()
    yield "A person by day: evenkeel ledger --subject NAME"


def _days_of_one(of_people: dict[str, list[SubjectDay]], streams: Sequence[StreamDay]) -> Iterator[str]:
    """Yield a line for each day of a person, with a block for each hour."""
    ((who, days),) = of_people.items()
    yield f"{who}, hours (UTC): {_KEY}"
    yield "  day         0     6     12    18      covered         stored  proven  used      gaps"
    for day in days:
        rows = [row for row in streams if (row.subject_id, row.day) == (who, day.day)]
        strip = "".join(map(_block, day.hourly_shares()))
        used = sum(row.used for row in rows)
        yield f"  {day.day}  {strip}  {_numbers([day], rows)}  {used:8,}  {_reasons([day])}".rstrip()


def _numbers(days: Sequence[SubjectDay], rows: Sequence[StreamDay]) -> str:
    covered_h, watched_h = sum(day.covered_h for day in days), sum(map(_watched_h, days))
    share = f"{covered_h / watched_h:4.0%}" if watched_h else "   -"
    hours = sum(row.hours for row in rows)
    proven = f"{sum(row.proven_hours for row in rows) / hours:6.0%}" if hours else "     -"
    return f"{covered_h:5.1f} h {share} {sum(row.stored for row in rows):12,}  {proven}"


def _reasons(days: Sequence[SubjectDay]) -> str:
    lost: Counter[Reason] = Counter()
    for day in days:
        lost.update(day.gap_hours)
    return ", ".join(f"{why} {_duration(hours)}" for why, hours in lost.most_common() if hours > SHOWN_H)


def _watched_h(day: SubjectDay) -> float:
    return day.covered_h + sum(day.gap_hours.values())


def _block(share: float | None) -> str:
    if share is None:
        return _NOT_EXPECTED
    if share >= WHOLE:
        return _BLOCKS[-1]
    return _BLOCKS[int(share * (len(_BLOCKS) - 1))] if share > 0 else _NOTHING


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"
