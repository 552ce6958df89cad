"""When a night was."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from store.units import NS_PER_S

SIDE_NS = 24 * 3600 * NS_PER_S
"""Of movement, seen on both sides of noon to noon: the day before begins twelve hours earlier, sleep by day
ends later, and periods are found against the 24 hours around. (Here, so that a run which finds nothing to
compute loads nothing that computes.)"""


@dataclass(frozen=True, slots=True)
class NightSpan:
    """A night to compute: its zone, and from when to when, half-open, nanoseconds UTC."""

    night: date
    zone: str
    start_ns: int
    end_ns: int

    @property
    def noons_ns(self) -> tuple[int, int]:
        """From noon to noon."""
        return self.start_ns, self.end_ns


def night_key_ns(night: date) -> int:
    """Return the time a night is stored under: midnight UTC of its date, whatever its zone."""
    return round(datetime(night.year, night.month, night.day, tzinfo=UTC).timestamp()) * NS_PER_S
