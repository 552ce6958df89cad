"""The nightly job: what wearables sent of every person and night, to windows and one row.

A night is read (`features.night_inputs`), computed (`features.one_night`, pure) and completed with what
depends on the nights before (`features.weeks`); this module decides which, and writes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from configs.settings import FeatureSettings, settings_hash
from features.night_inputs import NIGHT_MAKERS, NightSpan, nights_with_data, read_inputs
from features.nights import NightRow, Provenance, night_batch
from features.one_night import compute_night
from features.weeks import with_weeks
from store.errors import DataError
from store.ledger import Ledger, Use
from store.registry.registry import Registry
from store.timeseries import Batch, TimeSeriesStore

NIGHTS_A_WRITE = 30
"""About three million beats: a month of one person is computed and written at a time, in bounded memory."""


@dataclass(frozen=True, slots=True)
class FeatureRun:
    """How a run went.

    Attributes
    ----------
    nights, withheld : int
        Rows written, and how many of them have a value missing.
    failed : tuple of str
        One sentence for each night that could not be computed.
    """

    job_id: str
    nights: int
    withheld: int
    failed: tuple[str, ...]


def run_features(  # noqa: PLR0913 - one call, every argument named
    store: TimeSeriesStore,
    registry: Registry,
    settings: FeatureSettings,
    *,
    now_ns: int,
    subjects: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] = lambda _subject, _done, _total: None,
    ledger: Ledger | None = None,
) -> FeatureRun:
    """Compute windows and rows of every night with beats, pulses, movement, steps or stages; idempotent.

    Parameters
    ----------
    now_ns : int
        Written into the rows' provenance.
    subjects : sequence of str, optional
        Only these people; everybody by default.
    progress : callable(subject_id, nights_done, nights_total)
    ledger : Ledger, optional
        Learns how many RR intervals of each hour were made use of.
    """
    code_version, hashed = version("evenkeel"), settings_hash(settings)
    job_id = registry.jobs.start("features", code_version, hashed)
    provenance = Provenance(code_version, hashed, job_id, now_ns)
    known = {subject.subject_id for subject in registry.people.subjects()}
    plan = {
        subject_id: nights_with_data(store, subject_id, registry.people.zone_history(subject_id))
        for subject_id in subjects or _everybody(store)
        if subject_id in known
    }
    models = {each.sensor_id: f"{each.manufacturer} {each.model}" for each in registry.people.sensors()}
    total = sum(map(len, plan.values()))
    done = computed = withheld = 0
    failed: list[str] = []
    for subject_id, nights in plan.items():
        for chunk in _chunks(nights):
            rows, batches, uses = _compute(store, subject_id, chunk, models, settings, failed)
            if rows:
                rows = with_weeks(store, subject_id, rows)
                store.write([*batches, night_batch(rows, provenance)])
            if ledger is not None:
                ledger.note_used("features", uses)
            computed += len(rows)
            withheld += sum(bool(row.withheld) for row in rows)
            done += len(chunk)
            progress(subject_id, done, total)
    summary = {"nights": computed, "withheld": withheld, "failed": len(failed)}
    registry.jobs.end(job_id, summary)
    return FeatureRun(job_id, summary["nights"], withheld, tuple(failed))


def _everybody(store: TimeSeriesStore) -> list[str]:
    return sorted({who for stream in NIGHT_MAKERS for who in store.subjects(stream)})


def _chunks(nights: list[NightSpan]) -> Iterator[list[NightSpan]]:
    for k in range(0, len(nights), NIGHTS_A_WRITE):
        yield nights[k : k + NIGHTS_A_WRITE]


def _compute(
    store: TimeSeriesStore,
    subject_id: str,
    nights: list[NightSpan],
    models: Mapping[str, str],
    settings: FeatureSettings,
    failed: list[str],
) -> tuple[list[NightRow], list[Batch], list[Use]]:
    rows: list[NightRow] = []
    batches: list[Batch] = []
    uses: list[Use] = []
    for span in nights:
        try:
            found = compute_night(read_inputs(store, subject_id, span, models), settings)
        except DataError as error:
            failed.append(f"{subject_id}, night {span.night}: {error}")
            continue
        if found.row is not None:
            rows.append(found.row)
        batches.extend(found.batches)
        uses.extend(found.uses)
        if found.failure:
            failed.append(f"{subject_id}, night {span.night}: {found.failure}")
    return rows, batches, uses
