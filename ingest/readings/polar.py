"""What records of Polar Measurement Data say."""

from math import nan

import numpy as np
from numpy.typing import NDArray

from ingest.decoders.polar_pmd import (
    AccelerationFrame,
    EcgFrame,
    PpiFrame,
    Pulse,
    StreamSettings,
    decode_frame,
    unpack_record,
)
from ingest.readings.reading import Motion, Pulses, Reading, Values
from ingest.records import Record
from store.errors import DataError, FrameError


def read_polar(record: Record) -> Reading:
    """Return the movement, intervals or ECG of a frame.

    Raises
    ------
    FrameError
        If the record or its frame is malformed, or the frame needs a setting that the record does not have.
    """
    settings, payload = unpack_record(record.payload)
    match decode_frame(payload):
        case EcgFrame(ecg_uv=ecg_uv):
            return Reading(waveform=(_waveform("ecg_uv", ecg_uv, settings),))
        case AccelerationFrame() as frame:
            return _motion(frame, settings, record.payload)
        case PpiFrame(pulses=pulses):
            return Reading(pulses=Pulses(tuple(_interval(pulse) for pulse in pulses if pulse.pp_ms)))


def _motion(frame: AccelerationFrame, settings: StreamSettings, payload: bytes) -> Reading:
    try:
        acc_g = frame.acc_g(settings.factor)
    except DataError as error:
        raise FrameError(str(error), payload) from None
    if not settings.rate_hz:
        raise FrameError("Acceleration has no rate; needed is the one chosen at its start", payload)
    acc_mg = np.rint(acc_g * 1000).astype(np.int32)
    motion = Motion(acc_g, float(settings.rate_hz), frame.device_ns)
    return Reading(motion=motion, waveform=(_waveform("acc_mg", acc_mg, settings),))


def _waveform(signal: str, samples: NDArray[np.int32], settings: StreamSettings) -> Values:
    return signal, float(settings.rate_hz), float(len(samples)), samples.astype("<i4").tobytes()


def _interval(pulse: Pulse) -> Values:
    contact = nan if pulse.skin_contact is None else float(pulse.skin_contact)
    return float(pulse.pp_ms), float(pulse.error_ms), float(pulse.is_blocked), contact
