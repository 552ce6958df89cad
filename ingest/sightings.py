"""What a scan shows of each wearable: how strong, what it offers that is understood, and who wears it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from ingest.profiles.profile import Profile
from ingest.radio import Sighting


@dataclass(frozen=True, slots=True)
class SeenWearable:
    """One line of a scan.

    Attributes
    ----------
    address, name : str
    rssi_dbm : int
    services : tuple of str
        Names of the advertised services that evenkeel collects from.
    battery_pct : int or None
        Where it is advertised.
    subject_id : str
        Who wears it; empty if nobody.
    """

    address: str
    name: str
    rssi_dbm: int
    services: tuple[str, ...]
    battery_pct: int | None
    subject_id: str

    def as_json(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)

    def line(self) -> str:
        """Return it as one line of text."""
        battery = "" if self.battery_pct is None else f"battery {self.battery_pct} %"
        worn = f"worn by {self.subject_id}" if self.subject_id else ""
        parts = (", ".join(self.services), battery, worn)
        said = "; ".join(part for part in parts if part)
        return f"{self.address}  {self.rssi_dbm:4d} dBm  {self.name or '(no name)'}  {said}".rstrip()


def seen_wearables(
    sightings: Iterable[Sighting], profiles: Sequence[Profile], worn: Mapping[str, str]
) -> list[SeenWearable]:
    """Return what was heard, those understood first, then the strongest."""
    seen = [
        SeenWearable(
            each.address,
            each.name,
            each.rssi_dbm,
            tuple(profile.name for profile in profiles if profile.service_uuid in each.services),
            each.battery_pct,
            worn.get(each.address.upper(), ""),
        )
        for each in sightings
    ]
    return sorted(seen, key=lambda s: (not (s.services or s.subject_id), -s.rssi_dbm, s.address))


def silent_wearables(seen: Iterable[SeenWearable], worn: Mapping[str, str]) -> list[str]:
    """Return those that somebody wears and nobody heard, with who wears them."""
    heard = {each.address.upper() for each in seen}
    return [f"{address} ({who})" for address, who in sorted(worn.items()) if address.upper() not in heard]


def sightings_table(seen: Iterable[SeenWearable]) -> Table:
    """Return a table for a terminal."""
    table = Table(title="Wearables in range", title_justify="left")
    for heading in ("Address", "Name"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Signal", justify="right", no_wrap=True)
    table.add_column("Understood")
    table.add_column("Battery", justify="right")
    table.add_column("Worn by")
    for each in seen:
        battery = "" if each.battery_pct is None else f"{each.battery_pct} %"
        style = None if each.services or each.subject_id else "dim"
        signal = f"{each.rssi_dbm} dBm"
        cells = (each.address, each.name, signal, ", ".join(each.services), battery, each.subject_id)
        table.add_row(*cells, style=style)
    return table
