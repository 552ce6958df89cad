"""The worked example of docs/adding-a-sensor.md runs as it stands there."""

import asyncio
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from bumble.core import UUID

from ingest.collector import Collector
from ingest.decoders import Decoder
from ingest.readings import READERS
from ingest.records import Record
from ingest.understood import understood
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from store.clock import VirtualClock
from store.errors import FrameError
from store.streams import BODY_TEMPERATURE

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs" / "adding-a-sensor.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# (.*?)\n(.*?)```", TEXT, re.DOTALL))
ADDRESS = "C0:FF:EE:00:00:08"
PATIENCE_S = 10.0


class MemorySpool:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def put(self, record: Record) -> None:
        self.records.append(record)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - any condition, not only an event
        await asyncio.sleep(0.001)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Return the modules of the example, importable for the time of a test."""
    modules: dict[str, ModuleType] = {}
    for path in [title for title in BLOCKS if title.endswith("/patch.py")]:
        name = path.removesuffix(".py").replace("/", ".")
        module = modules[name] = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        package = importlib.import_module(name.rpartition(".")[0])
        monkeypatch.setattr(package, "patch", module, raising=False)
        exec(compile(BLOCKS[path], path, "exec"), vars(module))  # noqa: S102 - our own document
    return modules


def entry(registry: str, names: dict[str, object]) -> dict:
    """Return the registry entry that the document shows, as a mapping of its own."""
    (body,) = (body for title, body in BLOCKS.items() if title.endswith(f"in {registry}"))
    return eval(f"{{{body}}}", names)  # noqa: S307 - our own document


def test_every_file_that_is_touched_is_named_and_there():
    named = re.findall(r"^\| (.*?) \|", TEXT, re.MULTILINE)
    files = [file for cell in named for file in re.findall(r"`([^`]+\.py)`", cell)]
    assert len(files) >= 10
    for file in files:
        path = REPOSITORY / file
        assert path.parent.is_dir() if path.name == "NAME.py" else path.is_file(), file
    shown = {title.split(",")[0].replace("patch.py", "NAME.py") for title in BLOCKS}
    assert shown <= set(files)


def test_the_decoder_of_the_example_keeps_the_promises(example: dict[str, ModuleType]):
    decoder = entry("DECODERS", {"Decoder": Decoder, "patch": example["ingest.decoders.patch"]})[
        "patch_temperature"
    ]
    for frame, value in decoder.vectors:
        assert decoder.decode(frame) == value
        assert decoder.encode(value) == frame
    for flags in range(256):
        for size in range(5):
            frame = bytes([flags] * size)
            if size == 3 and flags < 2:
                assert decoder.encode(decoder.decode(frame)) == frame
                continue
            with pytest.raises(FrameError) as refused:
                decoder.decode(frame)
            assert refused.value.frame == frame


async def test_the_example_is_collected_and_read(
    example: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
):
    profile = example["ingest.profiles.patch"].PatchProfile()
    assert type(profile).__name__ in BLOCKS["ingest/profiles/__init__.py, in PROFILES"]
    patch = example["ingest.virtual.devices.patch"].VirtualPatch
    temperature = example["ingest.decoders.patch"].PatchTemperature
    readers = entry("READERS", {"patch": example["ingest.readings.patch"]})
    assert not set(readers) & set(READERS)
    air, clock, spool = Air(), VirtualClock(1_767_643_200_000_000_000), MemorySpool()
    adapter, device = VirtualAdapter(air), patch(air, ADDRESS)
    await adapter.start()
    await device.start()
    collector = Collector({ADDRESS: "S001"}, spool, clock, adapter.radio, profiles=[profile])
    running = asyncio.create_task(collector.run())
    async with asyncio.timeout(PATIENCE_S):
        await until(lambda: device.send(temperature(34.78, is_on_skin=True)))
        device.send(temperature(21.5, is_on_skin=False))
        device.send(temperature(None, is_on_skin=True))
        await until(lambda: sum(record.kind == "patch_temperature" for record in spool.records) == 3)
        collector.stop()
        await running
    read = readers["patch_temperature"]
    readings = [read(record) for record in spool.records if record.kind == "patch_temperature"]
    assert [reading.at_arrival for reading in readings] == [((BODY_TEMPERATURE, (34.78,)),), (), ()]


def test_the_example_is_listed(example: dict[str, ModuleType]):
    (listed,) = understood([example["ingest.profiles.patch"].PatchProfile()])
    assert listed.service == str(UUID(listed.service)).lower()
    assert "streams: body_temperature" in listed.text()
