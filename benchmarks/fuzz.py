"""Ten million frames that no wearable ever sent, through every decoder, on two processes.

A decoder may refuse a frame with `FrameError` that holds it, or decode it to a value that survives encoding
and decoding; anything else is a crash, and its frame is printed so that it can become a test.
"""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.table import Row
from ingest.decoders import DECODERS, Decoder
from store.errors import FrameError

FULL_INPUTS = 10_000_000
QUICK_INPUTS = 400_000
PROCESSES = 2
BATCH = 20_000
MUTATED_BYTES = 3
SPARE_BYTES = 8
"""Frames are up to so much longer than the longest one known."""

ROUND_TRIP_EVERY = 16
"""Encoding is for tests and virtual devices only; a share of the values is enough."""

CRASHES_KEPT = 3


@dataclass(slots=True)
class Tally:
    """What a decoder did with its inputs."""

    name: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    crashes: int = 0
    first_crashes: tuple[str, ...] = ()

    def crash(self, frame: bytes, what: str) -> None:
        """Count a crash, and keep the first few."""
        self.crashes += 1
        if len(self.first_crashes) < CRASHES_KEPT:
            self.first_crashes += (f"{self.name} {frame.hex()}: {what}",)


def run(*, is_full: bool) -> list[Row]:
    """Fuzz every decoder; the long version takes at least ten million inputs."""
    asked = FULL_INPUTS if is_full else QUICK_INPUTS
    each = -(-asked // len(DECODERS))
    began_s = time.perf_counter()
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        tallies = list(pool.map(_fuzz, DECODERS, [each] * len(DECODERS), range(len(DECODERS))))
    seconds = time.perf_counter() - began_s
    for tally in tallies:
        for crash in tally.first_crashes:
            print(crash)
    total = sum(tally.inputs for tally in tallies)
    rows = [_row(tally) for tally in tallies]
    rows += [
        Row("inputs, as many for each decoder", total / 1e6, "million", asked / 1e6, "higher"),
        Row("seconds for them", seconds, "s"),
        Row("crashes other than a FrameError with the frame", sum(t.crashes for t in tallies), "crashes", 0),
    ]
    return rows


def _row(tally: Tally) -> Row:
    refused_pct = 100 * tally.refused / tally.inputs
    us = 1e6 * tally.seconds / tally.inputs
    return Row(f"{tally.name}, {refused_pct:.0f} % refused, {us:.1f} us", tally.crashes, "crashes", 0)


def _fuzz(name: str, inputs: int, seed: int) -> Tally:
    decoder, tally = DECODERS[name], Tally(name)
    rng = np.random.default_rng(seed)
    while tally.inputs < inputs:
        frames = list(_frames(decoder, min(BATCH, inputs - tally.inputs), rng))
        began_s = time.perf_counter()
        for number, frame in enumerate(frames):
            _try(decoder, frame, tally, is_round_trip=number % ROUND_TRIP_EVERY == 0)
        tally.seconds += time.perf_counter() - began_s
        tally.inputs += len(frames)
    return tally


def _try(decoder: Decoder, frame: bytes, tally: Tally, *, is_round_trip: bool) -> None:
    try:
        value = decoder.decode(frame)
        if is_round_trip and decoder.decode(decoder.encode(value)) != value:
            tally.crash(frame, "does not survive the round trip")
    except FrameError as error:
        tally.refused += 1
        if error.frame != frame:
            tally.crash(frame, f"its error holds another frame: {error.frame.hex()}")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        tally.crash(frame, repr(error))


def _frames(decoder: Decoder, count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield random frames, known ones with some bytes changed, and known ones cut short or drawn out."""
    known = [frame for frame, _ in decoder.vectors]
    width = max(map(len, known)) + SPARE_BYTES
    rows = rng.integers(0, 256, (count, width), np.uint8)
    chosen = rng.integers(0, len(known), count)
    is_random = rng.random(count) < 0.25
    for index, frame in enumerate(known):
        alike = (chosen == index) & ~is_random
        rows[alike, : len(frame)] = np.frombuffer(frame, np.uint8)
    mutated = np.flatnonzero(rng.random(count) < 0.6)
    for _ in range(MUTATED_BYTES):
        places = (rng.random(len(mutated)) ** 2 * width).astype(np.intp)
        rows[mutated, places] = rng.integers(0, 256, len(mutated), np.uint8)
    sizes = np.array(list(map(len, known)))[chosen]
    is_resized = is_random | (rng.random(count) < 0.3)
    sizes[is_resized] = rng.integers(0, width + 1, int(is_resized.sum()))
    held = rows.tobytes()
    for start, size in zip(range(0, count * width, width), sizes.tolist(), strict=True):
        yield held[start : start + size]
