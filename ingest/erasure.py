"""Erase a person: samples, markers, flags, what waits in spools, and who they are.

Every step can be done again, and who they are goes last: where one fails, the same command goes on.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from ingest.memory import forget_wearables
from ingest.pauses import PAUSE_FILE, Pauses, read_pauses, write_pauses
from ingest.spool_file import SpoolFile
from store.errors import StoreUnavailableError
from store.installation import Installation
from store.ledger import open_ledger
from store.registry.consents import ALL
from store.registry.registry import Registry
from store.times import iso_time
from store.timeseries import TimeSeriesStore

NOT_REACHED = (
    "research exports and files of samples that were written before: whoever has them is to delete them",
    "lakes of samples, until the next evenkeel lake sync of each",
    "backups made before: delete them, or erase again after one is restored",
    "the audit log, which names the pseudonym and can neither be changed nor shortened",
    "what the wearable keeps in its own memory",
)
"""What no command can take back."""

_COPIES = ("registry.sqlite.before-*", "registry.before-*", "samples.sqlite.layout-*")
"""Kept by an update, until somebody deletes them."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was erased.

    Attributes
    ----------
    subject_id : str
        The pseudonym, which nobody is given again.
    erased : str
        When, ISO 8601.
    by : str
    samples : mapping of stream name to int
        Removed from the store; of them none was found afterwards.
    spool_records : int
        Removed from spools of this machine, quarantined ones included.
    registry_rows : mapping of table to int
    store : str
        Where the samples were.
    not_reached : tuple of str
        What still holds something, as far as can be known.
    """

    subject_id: str
    erased: str
    by: str
    samples: Mapping[str, int]
    spool_records: int
    registry_rows: Mapping[str, int]
    store: str
    not_reached: tuple[str, ...]

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1)

    @property
    def digest(self) -> str:
        """SHA-256 of its JSON, which the audit log keeps."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def erase(
    installation: Installation, registry: Registry, store: TimeSeriesStore, subject_id: str, *, by: str
) -> Certificate:
    """Erase a subject everywhere that this installation reaches.

    Raises
    ------
    UnknownError
        If there is no such subject.
    RefusedError
        If a collector or a replay is using a spool; nothing was changed.
    StoreUnavailableError, StoreAccessError
        If the store cannot remove, or still holds something afterwards.
    """
    registry.people.subject(subject_id)
    with ExitStack() as opened:
        spools = [opened.enter_context(spool) for spool in _spools(installation)]
        # First of all, for collectors on other machines: nothing of theirs is stored or spooled any more.
        registry.consents.record(subject_id, ALL, is_granted=False, by=by)
        sensors = sorted({each.sensor_id for each in store.series() if each.subject_id == subject_id})
        samples = store.erase(subject_id)
        spool_records = sum(spool.forget(subject_id, compact=True) for spool in spools)
    _check_gone(store, subject_id)
    ledger = open_ledger(installation.home, installation.clock)
    ledger.forget(subject_id)
    forget_wearables(installation.spool_path().with_name("wearables.json"), subject_id)
    _forget_pause(installation.home / PAUSE_FILE, subject_id)
    rows = registry.people.erase_subject(subject_id, sensors, by=by)
    certificate = Certificate(
        subject_id,
        iso_time(installation.clock.now_ns()),
        by,
        samples,
        spool_records,
        rows,
        str(installation.store_place()),
        (*NOT_REACHED, *_copies(installation.home)),
    )
    registry.audit.append(by, "erase", subject_id=subject_id, detail=f"certificate {certificate.digest}")
    return certificate


def _spools(installation: Installation) -> Sequence[SpoolFile]:
    """Open every spool of this machine; refused while anybody uses one."""
    folder = installation.spool_path().parent
    return [SpoolFile(path, installation.clock) for path in sorted(folder.glob("*.sqlite"))]


def _check_gone(store: TimeSeriesStore, subject_id: str) -> None:
    left = [each for each in store.series() if each.subject_id == subject_id]
    if left:
        raise StoreUnavailableError(
            f"The store still holds {left[0].stream.name} of {subject_id}, perhaps from a collector "
            "elsewhere that was just writing; nothing more is kept: run evenkeel subject erase again"
        )


def _forget_pause(path: Path, subject_id: str) -> None:
    held = read_pauses(path).until_ns
    if subject_id in held:
        write_pauses(path, Pauses({who: end for who, end in held.items() if who != subject_id}))


def _copies(home: Path) -> list[str]:
    found = sorted(path.name for pattern in _COPIES for path in home.glob(pattern))
    return [f"{name} in the installation, a copy from before an update: delete it" for name in found]
