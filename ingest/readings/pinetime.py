"""What records of a PineTime say beyond the standard services: steps and movement."""

import numpy as np

from ingest.decoders.pinetime import COUNTS_PER_G, NOMINAL_HZ, decode_motion, decode_steps
from ingest.readings.reading import Count, Motion, Reading
from ingest.records import Record
from store.streams import STEP_COUNT


def read_steps(record: Record) -> Reading:
    """Return the step counter; only the next one tells how many steps were made."""
    return Reading(counter=Count(STEP_COUNT, decode_steps(record.payload)))


def read_motion(record: Record) -> Reading:
    """Return one sample of acceleration; the watch has no clock for it."""
    counts = np.array([decode_motion(record.payload)], np.float32)
    return Reading(motion=Motion(counts / np.float32(COUNTS_PER_G), NOMINAL_HZ))
