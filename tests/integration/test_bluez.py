"""Bleak's own Linux backend, unmodified, on the virtual Bluetooth service; and on a real strap by option.

What is asserted here of the service was measured on bluetoothd 5.66, too.
"""

import asyncio
import json
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)
from bleak_retry_connector import (
    BleakClientWithServiceCache,
    close_stale_connections_by_address,
    establish_connection,
)
from bumble import att, hci
from bumble.core import AdvertisingData
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service
from dbus_fast import Message
from dbus_fast.aio.message_bus import MessageBus

from ingest.collector import Collector
from ingest.decoders.battery import LEVEL_UUID, decode_battery
from ingest.decoders.heart_rate import MEASUREMENT_UUID, SERVICE_UUID, decode_heart_rate, encode_heart_rate
from ingest.radio import Radio
from ingest.records import Record, parse_link_payload
from ingest.virtual.air import AirDevice
from ingest.virtual.bluez.bed import BUS_VARIABLE, VirtualBluetooth
from ingest.virtual.bluez.bus import PrivateBus
from ingest.virtual.bluez.errors import ABORTED, FAILED, IN_PROGRESS, NO_SLOT, BlueZError
from ingest.virtual.strap import VirtualStrap
from ingest.virtual.worn import KINDS
from store.clock import SystemClock, VirtualClock
from store.errors import ConfigError
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000
ONE, TWO, THREE = "C0:FF:EE:00:00:01", "C0:FF:EE:00:00:02", "C0:FF:EE:00:00:03"
MANUFACTURER_UUID = "00002a29-0000-1000-8000-00805f9b34fb"
CONTROL_POINT_UUID = "00002a39-0000-1000-8000-00805f9b34fb"
PATIENCE_S = 10.0
REAL_PATIENCE_S = 60.0


def beat(sequence: int) -> HeartRateMeasurement:
    return HeartRateMeasurement(60, skin_contact=True, energy_kj=sequence % 0x10000, rr_ms=(1000.0,))


async def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.001)


@asynccontextmanager
async def sending(strap: VirtualStrap, every_s: float = 0.01) -> AsyncIterator[None]:
    """Let a strap send, its sequence number advancing, connected or not."""

    async def send() -> None:
        sequence = 0
        while True:
            await strap.send(beat(sequence))
            sequence += 1
            await asyncio.sleep(every_s)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def strap(bluetooth: VirtualBluetooth) -> AsyncIterator[VirtualStrap]:
    made = VirtualStrap(bluetooth.air, ONE, name="evenkeel one", advertising_interval_ms=20)
    await made.start()
    yield made
    made.reappear()
    await made.stop()


async def seen(address: str = ONE, **options: object) -> BLEDevice:
    device = await BleakScanner.find_device_by_address(address, timeout=PATIENCE_S, **options)
    assert device is not None
    return device


@asynccontextmanager
async def connected(address: str = ONE, **options: object) -> AsyncIterator[BleakClient]:
    client = BleakClient(await seen(address), **options)
    try:
        await client.connect()
        yield client
    finally:
        await client.disconnect()


async def peripheral(bluetooth: VirtualBluetooth, said: AdvertisingData, *services: Service) -> None:
    """Put another device on the air that advertises just this."""
    device = AirDevice(bluetooth.air, "peripheral", THREE)
    device.advertising_interval_min = device.advertising_interval_max = 20
    device.advertising_data = bytes(said)
    device.add_services(services)
    await device.power_on()
    await device.start_advertising()


# The same on a virtual strap and, with --real-strap ADDRESS, on a real one


@dataclass
class MemorySpool:
    records: list[Record] = field(default_factory=list)

    def put(self, record: Record) -> None:
        self.records.append(record)

    def sequences(self, sensor_id: str) -> list[int | None]:
        return [decode_heart_rate(frame).energy_kj for frame in self.frames(sensor_id)]

    def frames(self, sensor_id: str, kind: str = "heart_rate_measurement") -> list[bytes]:
        return [r.payload for r in self.records if (r.kind, r.sensor_id) == (kind, sensor_id)]

    def states(self, sensor_id: str) -> list[str]:
        return [parse_link_payload(payload)[0] for payload in self.frames(sensor_id, "link_state")]


@pytest.fixture
async def worn_strap(strap: VirtualStrap) -> AsyncIterator[VirtualStrap]:
    async with sending(strap):
        yield strap


@pytest.fixture
def worn_address(request: pytest.FixtureRequest) -> str:
    """The address of a strap that somebody wears: a virtual one, or the real one that --real-strap names."""
    real = request.config.getoption("--real-strap")
    return real.upper() if real else request.getfixturevalue("worn_strap").address


async def test_a_worn_strap_is_found_and_sends_its_heart(worn_address: str) -> None:
    device = await BleakScanner.find_device_by_address(worn_address, timeout=REAL_PATIENCE_S)
    assert device is not None
    frames: list[bytes] = []
    gone: list[BleakClient] = []
    async with BleakClient(device, disconnected_callback=gone.append) as client:
        assert client.services.get_characteristic(MEASUREMENT_UUID).properties == ["notify"]
        await client.start_notify(MEASUREMENT_UUID, lambda _source, frame: frames.append(bytes(frame)))
        await until(lambda: len(frames) >= 3, REAL_PATIENCE_S)
        assert 0 <= decode_battery(bytes(await client.read_gatt_char(LEVEL_UUID))) <= 100
        assert bytes(await client.read_gatt_char(MANUFACTURER_UUID))
    assert gone == [client]
    assert all(30 <= decode_heart_rate(frame).heart_rate_bpm <= 220 for frame in frames)


async def test_a_worn_strap_may_be_left_and_met_again(worn_address: str) -> None:
    for _ in range(2):
        device = await BleakScanner.find_device_by_address(worn_address, timeout=REAL_PATIENCE_S)
        frames: list[bytes] = []
        client = await establish_connection(BleakClientWithServiceCache, device, worn_address)
        await client.start_notify(MEASUREMENT_UUID, lambda _source, frame, to=frames: to.append(bytes(frame)))
        await until(lambda got=frames: got, REAL_PATIENCE_S)
        await client.disconnect()


async def test_the_collector_records_a_worn_strap(worn_address: str) -> None:
    spool = MemorySpool()
    async with collecting({worn_address: "S001"}, spool):
        await until(lambda: len(spool.frames(worn_address)) >= 3, REAL_PATIENCE_S)
    assert spool.states(worn_address)[:2] == ["started", "connected"]
    assert spool.states(worn_address)[-2:] == ["disconnected", "stopped"]
    assert spool.frames(worn_address, "battery_level")


# What the service has in common with the real one


async def test_every_payload_arrives_as_it_was_sent(strap: VirtualStrap) -> None:
    got: list[bytes] = []
    payloads = [b"", b"\x00", b"\x01\x46", b"\x10\x46\x33", b"\xff" * 300, encode_heart_rate(beat(1))]
    async with connected() as client:
        await client.start_notify(MEASUREMENT_UUID, lambda _source, frame: got.append(bytes(frame)))
        for payload in payloads:
            await strap.send_frame(payload)
        await until(lambda: len(got) == len(payloads))
        assert client.services.get_characteristic(LEVEL_UUID).max_write_without_response_size == 514
    assert got == payloads


async def test_equal_values_are_not_merged(strap: VirtualStrap) -> None:
    got: list[bytes] = []
    async with connected() as client:
        await client.start_notify(MEASUREMENT_UUID, lambda _source, frame: got.append(bytes(frame)))
        for _ in range(100):
            await strap.send(beat(7))
        await until(lambda: len(got) == 100)
        await asyncio.sleep(0.02)
    assert got == [encode_heart_rate(beat(7))] * 100


async def test_a_bus_that_stalls_loses_nothing(bluetooth: VirtualBluetooth, strap: VirtualStrap) -> None:
    got: list[int | None] = []
    async with connected() as client:
        await client.start_notify(
            MEASUREMENT_UUID, lambda _source, frame: got.append(decode_heart_rate(bytes(frame)).energy_kj)
        )
        daemon = bluetooth.bus._daemon
        assert daemon is not None
        daemon.send_signal(signal.SIGSTOP)
        for sequence in range(3000):
            await strap.send(beat(sequence))
        await asyncio.sleep(0.1)
        assert len(got) < 3000
        daemon.send_signal(signal.SIGCONT)
        await until(lambda: len(got) == 3000)
    assert got == list(range(3000))


async def test_a_callback_that_raises_does_not_end_the_stream(strap: VirtualStrap, caplog) -> None:
    got: list[bytes] = []

    def stumble(_source: object, frame: bytearray) -> None:
        got.append(bytes(frame))
        raise ValueError("odd")

    async with connected() as client:
        await client.start_notify(MEASUREMENT_UUID, stumble)
        for sequence in range(3):
            await strap.send(beat(sequence))
        await until(lambda: len(got) == 3)
        assert client.is_connected
    assert "A message handler raised an exception: odd" in caplog.text


async def test_the_answer_to_a_read_reaches_a_subscriber_as_a_notification_too(strap: VirtualStrap) -> None:
    got: list[bytes] = []
    async with connected() as client:
        assert bytes(await client.read_gatt_char(LEVEL_UUID)) == b"\x64"
        await client.start_notify(LEVEL_UUID, lambda _source, frame: got.append(bytes(frame)))
        assert got == []
        assert bytes(await client.read_gatt_char(LEVEL_UUID)) == b"\x64"
        await until(lambda: got == [b"\x64"])


async def test_a_strap_out_of_range_is_missed_after_the_supervision_timeout(strap: VirtualStrap) -> None:
    gone = asyncio.Event()
    client = BleakClient(await seen(), disconnected_callback=lambda _client: gone.set())
    await client.connect()
    strap.vanish()
    await asyncio.wait_for(gone.wait(), 1)
    with pytest.raises(BleakError, match="Service Discovery has not been performed yet"):
        await client.read_gatt_char(LEVEL_UUID)
    await client.disconnect()


async def test_an_absent_strap_times_out_and_later_connects(strap: VirtualStrap) -> None:
    device = await seen()
    strap.vanish()
    absent = BleakClient(device, timeout=0.2)
    with pytest.raises(TimeoutError):
        await absent.connect()
    strap.reappear()
    async with BleakClient(device, timeout=PATIENCE_S) as client:
        assert client.is_connected


async def test_a_strap_that_leaves_during_a_read_fails_it(strap: VirtualStrap) -> None:
    async with connected() as client:
        asyncio.get_running_loop().call_soon(strap.vanish)
        await asyncio.sleep(0)
        with pytest.raises(BleakGATTProtocolError) as caught:
            await client.read_gatt_char(MANUFACTURER_UUID)
    assert caught.value.code == BleakGATTProtocolErrorCode.UNLIKELY_ERROR


async def test_a_write_that_the_strap_refuses_says_why(strap: VirtualStrap) -> None:
    async with connected() as client:
        await client.write_gatt_char(CONTROL_POINT_UUID, b"\x01", response=True)
        assert strap.energy_resets == 1
        with pytest.raises(BleakGATTProtocolError) as caught:
            await client.write_gatt_char(CONTROL_POINT_UUID, b"\x07", response=True)
        assert caught.value.code == 0x80
        with pytest.raises(BleakGATTProtocolError) as caught:
            await client.write_gatt_char(MANUFACTURER_UUID, b"x", response=True)
        assert caught.value.code == BleakGATTProtocolErrorCode.REQUEST_NOT_SUPPORTED


async def test_every_att_error_reaches_the_program_as_it_was(bluetooth: VirtualBluetooth) -> None:
    told: list[int] = []

    def refuse(_connection: object) -> bytes:
        raise att.ATT_Error(told[-1])

    value = CharacteristicValue[bytes](read=refuse)
    touchy = Characteristic[bytes](
        MANUFACTURER_UUID, Characteristic.Properties.READ, Characteristic.Permissions.READABLE, value
    )
    await peripheral(bluetooth, AdvertisingData([]), Service(SERVICE_UUID, [touchy]))
    not_told_apart = {0x05, 0x0F}  # "Not paired"; Bleak raises its D-Bus error
    async with connected(THREE) as client:
        for code in (*range(1, 0x15), 0x80, 0xFC, 0xFD, 0xFE, 0xFF):
            told.append(code)
            with pytest.raises(BleakError) as caught:
                await client.read_gatt_char(MANUFACTURER_UUID)
            if code in not_told_apart:
                assert "NotPermitted" in str(caught.value)
            else:
                assert caught.value.code == code


async def test_a_device_that_is_neither_heard_nor_connected_is_forgotten(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    bluetooth.behaviour.forget_after_s = 0.05
    device = await seen()
    async with BleakClient(device) as client:
        await asyncio.sleep(0.1)
        assert client.is_connected
    await asyncio.sleep(0.1)
    with pytest.raises(BleakError, match="device 'dev_C0_FF_EE_00_00_01' not found"):
        await BleakClient(device).connect()
    async with connected():
        assert strap.connected


async def test_a_disconnect_takes_as_long_as_told(bluetooth: VirtualBluetooth, strap: VirtualStrap) -> None:
    bluetooth.behaviour.disconnect_delay_s = 0.2
    client = BleakClient(await seen())
    await client.connect()
    leaving = asyncio.create_task(client.disconnect())
    await asyncio.sleep(0.1)
    assert strap.connected
    await leaving
    await until(lambda: not strap.connected)


async def test_an_injected_error_comes_once(bluetooth: VirtualBluetooth, strap: VirtualStrap) -> None:
    device = await seen()
    bluetooth.behaviour.refuse("Connect", BlueZError(FAILED, "br-connection-unknown"))
    with pytest.raises(BleakDBusError, match="br-connection-unknown"):
        await BleakClient(device).connect()
    async with BleakClient(device):
        assert bluetooth.bluez.calls["Connect"] == 2


async def test_disconnecting_withdraws_a_connect(
    bluetooth: VirtualBluetooth, strap: VirtualStrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bleak does so when its caller loses patience; the next connect must not find the adapter busy."""
    withdraw_at_once = AirDevice.connect_to

    async def withdraw_slowly(radio: AirDevice, address: hci.Address) -> Connection:
        try:
            return await withdraw_at_once(radio, address)
        finally:
            await asyncio.sleep(0.05)

    monkeypatch.setattr(AirDevice, "connect_to", withdraw_slowly)
    device = await seen()
    strap.vanish()
    waiting = asyncio.create_task(BleakClient(device).connect())
    await until(lambda: bluetooth.bluez.calls["Connect"] == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    strap.reappear()
    async with BleakClient(device, timeout=PATIENCE_S) as client:
        assert client.is_connected


async def test_connections_that_fail_are_survived_by_trying_again(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    bluetooth.behaviour.failing_connects_frac = 0.5
    for _ in range(4):
        client = await establish_connection(BleakClientWithServiceCache, await seen(), "strap")
        assert client.is_connected
        await client.disconnect()
    assert bluetooth.bluez.calls["Connect"] > 4


async def test_an_adapter_has_so_many_slots_and_no_more(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    bluetooth.behaviour.slots = 1
    second = VirtualStrap(bluetooth.air, TWO, advertising_interval_ms=20)
    await second.start()
    device = await seen(TWO)
    async with connected():
        with pytest.raises(BleakDBusError, match=NO_SLOT):
            await BleakClient(device).connect()
        with pytest.raises(BleakError, match="not found"):
            await BleakClient(device).connect()
    async with connected(TWO):
        assert second.connected
    await second.stop()


@pytest.mark.parametrize("bluetooth", [2], indirect=True)
async def test_each_adapter_hears_and_connects_on_its_own(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    bluetooth.behaviour.slots = 1
    second = VirtualStrap(bluetooth.air, TWO, advertising_interval_ms=20)
    await second.start()
    first_device = await seen(ONE, bluez={"adapter": "hci0"})
    second_device = await seen(TWO, bluez={"adapter": "hci1"})
    async with BleakClient(first_device), BleakClient(second_device):
        assert [adapter.connections for adapter in bluetooth.bluez.adapters] == [1, 1]
    with pytest.raises(BleakError, match="adapter 'hci2' not found"):
        await BleakScanner.discover(bluez={"adapter": "hci2"})
    await second.stop()


async def test_an_adapter_that_is_switched_off_is_no_adapter(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    async with connected():
        bluetooth.bluez.adapters[0].set_property("Powered", value=False)
        await until(lambda: not strap.connected)
    with pytest.raises(BleakBluetoothNotAvailableError):
        await BleakScanner.discover()
    bluetooth.bluez.adapters[0].set_property("Powered", value=True)
    await asyncio.sleep(0.02)  # until the news has reached Bleak
    async with connected():
        assert strap.connected


@pytest.mark.parametrize(
    ("filters", "heard"),
    [
        ({}, {ONE, THREE}),
        ({"Pattern": "evenkeel"}, {ONE}),
        ({"Pattern": "C0:FF:EE:00:00:03"}, {THREE}),
        ({"RSSI": -50}, {ONE, THREE}),
        ({"RSSI": -49}, set()),
        ({"UUIDs": [SERVICE_UUID]}, {ONE}),
    ],
)
async def test_discovery_filters(
    bluetooth: VirtualBluetooth, strap: VirtualStrap, filters: Mapping[str, object], heard: set[str]
) -> None:
    await peripheral(bluetooth, AdvertisingData([]))
    found = await BleakScanner.discover(0.2, bluez={"filters": filters})
    assert {device.address for device in found} == heard


async def test_all_that_is_advertised_is_told(bluetooth: VirtualBluetooth) -> None:
    said = AdvertisingData(
        [
            (AdvertisingData.COMPLETE_LOCAL_NAME, b"beacon"),
            (AdvertisingData.MANUFACTURER_SPECIFIC_DATA, bytes.fromhex("6b00 0102")),
            (AdvertisingData.SERVICE_DATA_16_BIT_UUID, bytes.fromhex("0d18 f8")),
            (AdvertisingData.TX_POWER_LEVEL, b"\xf4"),
        ]
    )
    await peripheral(bluetooth, said)
    found = await BleakScanner.discover(0.2, return_adv=True)
    device, told = found[THREE]
    assert (device.name, told.local_name, told.rssi, told.tx_power) == ("beacon", "beacon", -50, -12)
    assert told.manufacturer_data == {0x006B: b"\x01\x02"}
    assert told.service_data == {SERVICE_UUID: b"\xf8"}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_wearable_is_found_connected_and_left(
    bluetooth: VirtualBluetooth, kind: str
) -> None:
    wearable = KINDS[kind](bluetooth.air, ONE, 1, 7, SystemClock())
    wearing = asyncio.create_task(wearable.wear())
    device = await seen()
    assert device.name == wearable.name
    async with BleakClient(device) as client:
        assert len(client.services.services) >= 3
        await asyncio.sleep(0.2)
        wearing.cancel()
        await asyncio.gather(wearing, return_exceptions=True)
        assert wearing.cancelled()
        await until(lambda: not client.is_connected)


# What ends and what does not


CLIENT = """
import asyncio, sys
from bleak import BleakClient, BleakScanner

async def main():
    device = await BleakScanner.find_device_by_address(sys.argv[1], timeout=10)
    client = BleakClient(device)
    await client.connect()
    await client.start_notify(sys.argv[2], lambda *_: None)
    print("connected", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def killed_client(address: str) -> None:
    """Connect and subscribe in another process, and kill that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, address, MEASUREMENT_UUID, stdout=PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"connected\n"
    process.kill()
    await process.wait()


async def test_a_connection_outlives_its_client_and_can_be_closed(strap: VirtualStrap) -> None:
    await killed_client(ONE)
    await until(lambda: not strap.subscribed)
    assert strap.connected
    assert await BleakScanner.find_device_by_address(ONE, timeout=0.2) is None
    await close_stale_connections_by_address(ONE)
    await until(lambda: not strap.connected)
    async with connected():
        assert strap.connected


async def test_a_client_that_dies_while_it_subscribes_is_subscribed_until_it_is_let_go(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    """A request outlives the one who made it: the strap sends to nobody for a moment."""
    async with connected() as client:
        bus = await MessageBus(bus_address=bluetooth.address).connect()
        name = bus.unique_name
        measured = client.services.get_characteristic(MEASUREMENT_UUID)
        assert measured is not None
        bluetooth.air.latency_s = 0.02  # so that each step lasts long enough to be seen
        await bus.send(
            Message(
                destination="org.bluez",
                path=measured.obj[0],
                interface="org.bluez.GattCharacteristic1",
                member="StartNotify",
            )
        )
        bus.disconnect()
        await until(lambda: strap.subscribed)
        assert name in bluetooth.bluez.clients
        await until(lambda: name not in bluetooth.bluez.clients)
        assert not strap.subscribed


async def test_a_bus_that_dies_takes_every_link_along(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    gone = asyncio.Event()
    client = BleakClient(await seen(), disconnected_callback=lambda _client: gone.set())
    await client.connect()
    address = bluetooth.address
    await bluetooth.crash()
    await asyncio.wait_for(gone.wait(), PATIENCE_S)
    await client.disconnect()
    assert not strap.connected
    with pytest.raises(OSError):  # noqa: PT011 - refused or absent
        await BleakScanner.discover(0.1)
    await bluetooth.recover()
    assert bluetooth.address == address
    async with connected():
        assert strap.connected


async def virtual_process(*words: str) -> tuple[Process, dict]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "evenkeel", "virtual", *words, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    return process, json.loads(await asyncio.wait_for(process.stdout.readline(), 30))


def answers(bus_address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(bus_address.removeprefix("unix:path="))
        return True
    return False


async def test_the_command_says_where_it_is_and_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    process, said = await virtual_process("--straps", "2", "--seed", "3")
    try:
        names = [(sensor["name"], sensor["kind"]) for sensor in said["sensors"]]
        assert names == [("Virtual strap 1", "strap"), ("Virtual strap 2", "strap")]
        monkeypatch.setenv(BUS_VARIABLE, said["bus"])
        got: list[int | None] = []
        async with connected(said["sensors"][0]["address"]) as client:
            await client.start_notify(
                MEASUREMENT_UUID, lambda _source, frame: got.append(decode_heart_rate(bytes(frame)).energy_kj)
            )
            await until(lambda: len(got) == 2)
    finally:
        process.terminate()
        _, complaint = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, complaint) == (0, b"Ctrl-C ends it\n")
    assert got[1] == got[0] + 1
    assert not answers(said["bus"])
    assert not await asyncio.to_thread(Path(said["bus"].removeprefix("unix:path=")).parent.exists)


async def test_a_killed_command_leaves_no_bus_behind() -> None:
    process, said = await virtual_process("--straps", "0")
    assert answers(said["bus"])
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    await until(lambda: not answers(said["bus"]))
    # Nobody was left to remove these three files.
    await asyncio.to_thread(shutil.rmtree, Path(said["bus"].removeprefix("unix:path=")).parent)


async def test_without_dbus_daemon_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="apt install dbus-daemon"):
        await PrivateBus().start()


# The collector, as it runs in a patient's home


@asynccontextmanager
async def collecting(
    worn: Mapping[str, str], spool: MemorySpool, clock: VirtualClock | None = None
) -> AsyncIterator[VirtualClock]:
    """Run the collector on the machine's Bluetooth, its time passing fifty times as fast."""
    clock = clock or VirtualClock(START_NS)
    collector = Collector(worn, spool, clock, Radio())

    async def let_time_pass() -> None:
        while True:
            await asyncio.sleep(0.002)
            clock.advance_to(clock.now_ns() + NS_PER_S // 10)

    running, passing = asyncio.create_task(collector.run()), asyncio.create_task(let_time_pass())
    try:
        yield clock
        collector.stop()
        await asyncio.wait_for(running, PATIENCE_S)
    finally:
        ended_early = running.done() and not running.cancelled() and running.exception()
        for task in (running, passing):
            task.cancel()
        await asyncio.gather(running, passing, return_exceptions=True)
        if ended_early:
            raise ended_early


def assert_in_order(sequences: list[int | None]) -> None:
    numbers = [number for number in sequences if number is not None]
    assert len(numbers) == len(sequences)
    assert numbers == sorted(set(numbers))


async def test_the_collector_loses_nothing_while_connected(strap: VirtualStrap) -> None:
    spool = MemorySpool()
    async with collecting({ONE: "S001"}, spool), sending(strap):
        await until(lambda: len(spool.frames(ONE)) >= 50)
    sequences = spool.sequences(ONE)
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


async def test_the_collector_comes_back_after_an_outage(strap: VirtualStrap) -> None:
    spool = MemorySpool()
    async with collecting({ONE: "S001"}, spool), sending(strap):
        await until(lambda: spool.frames(ONE))
        strap.vanish()
        await until(lambda: "disconnected" in spool.states(ONE))
        strap.reappear()
        before = len(spool.frames(ONE))
        await until(lambda: len(spool.frames(ONE)) > before)
    assert_in_order(spool.sequences(ONE))
    # A service that a busy wearable refused at first is noted as one more "connected" of the same link.
    assert [state for state, _ in groupby(spool.states(ONE))].count("connected") == 2


async def test_the_collector_survives_a_bus_that_restarts(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    spool = MemorySpool()
    async with collecting({ONE: "S001"}, spool), sending(strap):
        await until(lambda: spool.frames(ONE))
        await bluetooth.crash()
        await until(lambda: "disconnected" in spool.states(ONE))
        await bluetooth.recover()
        before = len(spool.frames(ONE))
        await until(lambda: len(spool.frames(ONE)) > before)
    assert_in_order(spool.sequences(ONE))


async def test_the_collector_closes_what_a_killed_one_left_open(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    second = VirtualStrap(bluetooth.air, TWO, advertising_interval_ms=20)
    await second.start()
    await asyncio.gather(killed_client(ONE), killed_client(TWO))
    assert strap.connected
    assert second.connected
    spool = MemorySpool()
    async with collecting({ONE: "S001", TWO: "S002"}, spool), sending(strap), sending(second):
        await until(lambda: spool.frames(ONE) and spool.frames(TWO))
    await until(lambda: not strap.connected and not second.connected)
    await second.stop()


async def test_the_collector_retries_what_bluez_fails_for_no_reason(
    bluetooth: VirtualBluetooth, strap: VirtualStrap
) -> None:
    bluetooth.behaviour.refuse("Connect", BlueZError(FAILED, "br-connection-unknown"))
    bluetooth.behaviour.refuse("StartNotify", BlueZError(FAILED, ABORTED))
    spool = MemorySpool()
    async with collecting({ONE: "S001"}, spool), sending(strap):
        await until(lambda: spool.frames(ONE))
        bluetooth.behaviour.refuse("StartDiscovery", BlueZError(IN_PROGRESS, "In Progress"))
        before = len(spool.frames(ONE))
        await strap.drop()
        await until(lambda: len(spool.frames(ONE)) > before and spool.states(ONE).count("connected") > 1)
    assert bluetooth.bluez.calls["StartDiscovery"] >= 3
    assert_in_order(spool.sequences(ONE))


async def test_the_collector_lives_with_few_slots(bluetooth: VirtualBluetooth, strap: VirtualStrap) -> None:
    bluetooth.behaviour.slots = 1
    second = VirtualStrap(bluetooth.air, TWO, advertising_interval_ms=20)
    await second.start()
    spool = MemorySpool()
    async with collecting({ONE: "S001", TWO: "S002"}, spool), sending(strap), sending(second):
        await until(lambda: spool.frames(ONE) or spool.frames(TWO))
        held, waiting = (strap, second) if spool.frames(ONE) else (second, strap)
        await until(lambda: bluetooth.bluez.calls["Connect"] > 1)
        assert spool.frames(waiting.address) == []
        held.vanish()
        await until(lambda: spool.frames(waiting.address))
    held.reappear()
    await second.stop()
