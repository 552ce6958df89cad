"""Samples as files: CSV or Parquet, by the ending of the name."""

from pathlib import Path

import numpy as np
import pandas as pd

from store.errors import ConfigError
from store.timeseries import Samples


def samples_frame(samples: Samples) -> pd.DataFrame:
    """Return samples as a frame: `t_ns`, `sensor`, then the columns of the stream."""
    sensor = np.array([*samples.sensors, ""], object)[samples.sensor_index]
    return pd.DataFrame({"t_ns": samples.t_ns, "sensor": sensor} | dict(samples.values))


def write_samples(samples: Samples, path: Path) -> None:
    """Write samples to a `.csv` (or `.csv.gz`) or `.parquet` file.

    Raises
    ------
    ConfigError
        If the name ends in something else.
    OSError
        If the file cannot be written.
    """
    frame = samples_frame(samples)
    if path.name.endswith((".csv", ".csv.gz")):
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        raise ConfigError(f"{path} ends in neither .csv, .csv.gz nor .parquet; name the format by its ending")
