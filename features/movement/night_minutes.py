"""A night minute by minute, noon to noon, as it is kept: what pictures are drawn of and weeks are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.streams import Column, Stream
from store.timeseries import NO_SENSOR, Batch, Samples
from store.types import read_only

MINUTES_STREAM = Stream(
    "night_minutes",
    "A night minute by minute from noon to noon; the time is midnight UTC of the date of its morning",
    (
        Column("start_ns", "int64", "Start of the first minute, nanoseconds UTC", "ns"),
        Column("activity", "binary", "Movement of each minute, float32; NaN where not worn or not recorded"),
        Column("stage", "binary", "int8: -1 not scored, 0 wake, 1 asleep, 2 light, 3 deep, 4 REM"),
        Column("wear", "binary", "Wear of each minute, int8: 0 not worn, 1 worn, 2 charging, 3 unknown"),
        Column("movement", "utf8", "What activity is: enmo_mg (mean), counts or steps; empty without any"),
        Column("source_sensor", "utf8", "Sensor of the movement; empty without any"),
        Column("scorer", "utf8", "Who told sleep from wake; empty if nobody could"),
        Column("sleep_start_ns", "int64", "Begin of the main sleep, nanoseconds UTC; 0 without one", "ns"),
        Column("sleep_end_ns", "int64", "Its end; 0 without one", "ns"),
    ),
    family="features",
)  # fmt: skip


@dataclass(frozen=True)
class NightMinutes:
    """Minutes of one night, n of them: 1,380 to 1,500, more for who travels.

    Attributes
    ----------
    key_ns : int
        What the night is stored under.
    start_ns : int
    activity : (n,) float32
    stage, wear : (n,) int8
        `SleepStage`, `WearState`.
    movement, sensor, scorer : str
    sleep_ns : (int, int)
        Main period; 0, 0 without one.
    """

    key_ns: int
    start_ns: int
    activity: NDArray[np.float32]
    stage: NDArray[np.int8]
    wear: NDArray[np.int8]
    movement: str
    sensor: str
    scorer: str
    sleep_ns: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for name, dtype in (("activity", np.float32), ("stage", np.int8), ("wear", np.int8)):
            object.__setattr__(self, name, read_only(np.asarray(getattr(self, name), dtype)))
        lengths = {len(self.activity), len(self.stage), len(self.wear)}
        if len(lengths) != 1:
            raise DataError(
                f"Minutes of a night: columns of {sorted(lengths)} minutes; needed are as many of each"
            )

    def __len__(self) -> int:
        return len(self.activity)


def minutes_batch(subject_id: str, nights: list[NightMinutes]) -> Batch:
    """Return the minutes of nights of one person as samples."""
    columns: dict[str, list[object]] = {
        "start_ns": [each.start_ns for each in nights],
        "activity": [each.activity.astype("<f4").tobytes() for each in nights],
        "stage": [each.stage.tobytes() for each in nights],
        "wear": [each.wear.tobytes() for each in nights],
        "movement": [each.movement for each in nights],
        "source_sensor": [each.sensor for each in nights],
        "scorer": [each.scorer for each in nights],
        "sleep_start_ns": [each.sleep_ns[0] for each in nights],
        "sleep_end_ns": [each.sleep_ns[1] for each in nights],
    }
    dtypes = {
        column.name: np.int64 if column.dtype == "int64" else object for column in MINUTES_STREAM.columns
    }
    arrays = {name: np.array(held, dtypes[name]) for name, held in columns.items()}
    t_ns = np.array([each.key_ns for each in nights], np.int64)
    return Batch(MINUTES_STREAM, subject_id, NO_SENSOR, t_ns, arrays)


def minutes_of_samples(held: Samples) -> list[NightMinutes]:
    """Return the nights that `minutes_batch` made, oldest first."""
    return [
        NightMinutes(
            int(held.t_ns[k]),
            int(held["start_ns"][k]),
            np.frombuffer(held["activity"][k], "<f4"),
            np.frombuffer(held["stage"][k], np.int8),
            np.frombuffer(held["wear"][k], np.int8),
            str(held["movement"][k]),
            str(held["source_sensor"][k]),
            str(held["scorer"][k]),
            (int(held["sleep_start_ns"][k]), int(held["sleep_end_ns"][k])),
        )
        for k in range(len(held))
    ]
