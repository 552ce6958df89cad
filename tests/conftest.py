"""Shared fixtures: a home of its own for each test, a clock that stands still, real recordings if present."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from store.clock import VirtualClock
from store.installation import Installation
from store.registry.registry import Registry
from store.timeseries import TimeSeriesStore
from tests.influxd import fragile_influx, influx

__all__ = ["fragile_influx", "influx"]

# The same examples every time; how long one takes says more about the machine than about the code.
settings.register_profile("evenkeel", derandomize=True, deadline=None)
settings.load_profile("evenkeel")

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
START_NS = 1_767_643_200_000_000_000  # 2026-01-05T20:00:00Z


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real-strap", metavar="ADDRESS", help="Run the link tests on a real chest strap that is worn."
    )


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START_NS)


@pytest.fixture
def installation(tmp_path: Path, clock: VirtualClock) -> Installation:
    return Installation(tmp_path / "home", clock)


@pytest.fixture
def registry(installation: Installation) -> Iterator[Registry]:
    with installation.registry() as opened:
        yield opened


@pytest.fixture
def store(installation: Installation) -> Iterator[TimeSeriesStore]:
    with installation.timeseries() as opened:
        yield opened


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real RR recordings."""
    folder = SHARED / "data" / "rr"
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} is not there")
    return folder
