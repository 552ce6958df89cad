"""When a night was."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from store.units import NS_PER_S


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
