"""What one worker does with one night: read its samples, hash them, and compute it if they are others."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from configs.settings import FeatureSettings
from features.night_inputs import NightInputs, read_inputs
from features.nights import NightRow
from features.one_night import NightResult, compute_night
from features.plan import NightTask
from store.errors import ConfigError, DataError, DeviceError
from store.ledger_digest import sample_digest, total_of
from store.timeseries import SampleSource


@dataclass(frozen=True)
class NightDone:
    """What came of a task.

    Attributes
    ----------
    task : NightTask
    result : NightResult or None
        None where the samples are those of `task.known_hash`, or where it failed.
    input_hash : str
    models : str
        Sensors and their models, as JSON.
    failure : str
        Why there is no result; empty otherwise.
    """

    task: NightTask
    result: NightResult | None = None
    input_hash: str = ""
    models: str = "{}"
    failure: str = ""


def work(
    source: SampleSource, task: NightTask, settings: FeatureSettings, models: Mapping[str, str]
) -> NightDone:
    """Do one task; whatever goes wrong with it is told and concerns no other.

    Raises
    ------
    DeviceError, ConfigError
        If the store cannot be read, which concerns all of them.
    """
    try:
        inputs = read_inputs(source, task.subject_id, task.span, models)
        counts, input_hash = counted(inputs)
        if input_hash == task.known_hash:
            return NightDone(task, None, input_hash, seen_models(inputs))
        result = compute_night(inputs, settings)
    except DataError as error:
        return NightDone(task, failure=str(error))
    except (DeviceError, ConfigError):
        raise
    except Exception as error:  # noqa: BLE001 - the boundary of one night: a bug is named, others go on
        return NightDone(
            task, failure=f"a bug in evenkeel, please report it: {type(error).__name__}: {error}"
        )
    if result.row is not None:
        row = replace(result.row, input_counts=json.dumps(counts), input_hash=input_hash)
        result = replace(result, row=row)
    return NightDone(task, result, input_hash, seen_models(inputs))


def seen_models(inputs: NightInputs) -> str:
    """Return the models of the sensors of a night, empty where unknown, as JSON."""
    sensors = sorted({sensor for held in inputs.samples.values() for sensor in held.sensors})
    return json.dumps({sensor: inputs.models.get(sensor, "") for sensor in sensors})


def counted(inputs: NightInputs) -> tuple[dict[str, int], str]:
    """Return how many samples of each stream there are, and a hash that no order of arrival changes."""
    counts: dict[str, int] = {}
    said = [seen_models(inputs)]
    for name, held in sorted(inputs.samples.items()):
        digests = sample_digest(held.stream, held.t_ns, held.values)
        for k, sensor in enumerate(held.sensors):
            total = total_of(digests[held.sensor_index == k] if len(held.sensors) > 1 else digests)
            said.append(f"{name} {sensor} {total.count} {total.digest:016x}")
        if len(held):
            counts[name] = len(held)
    return counts, sha256("\n".join(said).encode()).hexdigest()[:32]


def own_hash(row: NightRow) -> str:
    """Return the hash of a row that holds nothing of other nights yet."""
    said = [
        row.input_hash,
        row.zone,
        row.source_sensor,
        row.withheld,
        row.withheld_more,
        *_numbers(row.values),
    ]
    return sha256("\n".join(said).encode()).hexdigest()[:16]


def _numbers(values: Mapping[str, float]) -> list[str]:
    return [f"{name} {np.float64(value).tobytes().hex()}" for name, value in sorted(values.items())]
