"""The command that takes in a vendor's export."""

import gzip
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from store.command import note, open_installation, say

if TYPE_CHECKING:
    from ingest.consent import Gate
    from ingest.vendor_export import Kind
    from store.timeseries import Batch, TimeSeriesStore

_BATCHES_A_WRITE = 200


def import_export(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="fitbit (an account's archive) or fitabase.")],
    folder: Annotated[Path, typer.Argument(help="Folder with its files, .gz or not; looked through whole.")],
    subject: Annotated[str, typer.Option(help="Whose it is.")],
    zone: Annotated[
        str, typer.Option(help="IANA zone of times that are local; by default the subject's own.")
    ] = "",
    person: Annotated[
        str, typer.Option("--id", help="Id of the person in files of several (fitabase).")
    ] = "",
) -> None:
    """Import sleep, steps and heart rate of a vendor's export; doing it again changes nothing.

    Whose clock its times are of is declared for each kind of file, and said; nothing is guessed. Next:
    evenkeel features run.
    """
    from ingest.consent import Gate
    from ingest.vendor_export import EXPORTS, ExportFile
    from store.errors import RecordingError, UnknownError
    from store.local_time import check_zone

    if kind not in EXPORTS:
        raise UnknownError(f"No export is called {kind!r}; there are: {', '.join(EXPORTS)}")
    installation = open_installation(context)
    with installation.registry() as registry, installation.timeseries() as store:
        zone = zone or registry.people.zone_history(subject).zones[-1]
        check_zone(zone)
        files = list(_files(folder, EXPORTS[kind]))
        if not files:
            wanted = ", ".join(each.pattern for each in EXPORTS[kind])
            raise RecordingError(f"{folder} holds no file of a {kind} export; needed is one of {wanted}")
        gate = Gate(registry.consents, installation.clock)
        sensor_id = f"{kind}-{subject}"
        registry.people.register_sensor(sensor_id, name=f"{kind} export", model=f"{kind} export")
        total: Counter[str] = Counter()
        for path, made in files:
            file = ExportFile(_text(path), path.name, (subject, sensor_id), zone, person)
            counts = _write(store, gate, made.batches(file))
            whose = f"local times of {zone}" if made.clock == "local" else "times in UTC"
            note(f"{path.name}: {made.what}, {whose}: {sum(counts.values()):,} samples")
            total += counts
    say(", ".join(f"{stream} {count:,}" for stream, count in sorted(total.items())) or "no samples")


def _files(folder: Path, kinds: "tuple[Kind, ...]") -> "Iterator[tuple[Path, Kind]]":
    for path in sorted(folder.rglob("*")):
        plain = Path(path.name.removesuffix(".gz"))
        for kind in kinds:
            if path.is_file() and plain.match(kind.pattern) and not plain.match("sleep_score*"):
                yield path, kind


def _text(path: Path) -> str:
    from store.errors import ConfigError, RecordingError

    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path.name} is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}); name another folder") from None


def _write(store: "TimeSeriesStore", gate: "Gate", batches: "Iterator[Batch]") -> Counter[str]:
    from store.timeseries import part_of

    counts: Counter[str] = Counter()
    while some := list(itertools.islice(batches, _BATCHES_A_WRITE)):
        agreed = [part_of(batch, gate.kept(batch)) for batch in some]
        store.write(agreed)
        for batch in agreed:
            counts[batch.stream.name] += len(batch)
    return counts
