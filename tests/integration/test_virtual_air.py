"""The virtual air carries what Bleak and a collector rely on, and fails the way radio fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError, BleakGATTProtocolError
from bleak_retry_connector import BleakClientWithServiceCache, establish_connection
from bumble.core import TimeoutError as BumbleTimeoutError

from ingest.decoders.battery import LEVEL_UUID
from ingest.decoders.battery import SERVICE_UUID as BATTERY_UUID
from ingest.decoders.device_information import MANUFACTURER_NAME_UUID, SERIAL_NUMBER_UUID
from ingest.decoders.heart_rate import MEASUREMENT_UUID, decode_heart_rate
from ingest.decoders.heart_rate import SERVICE_UUID as HEART_RATE_UUID
from ingest.radio import Radio, Sighting, scan
from ingest.virtual.air import SUPERVISION_TIMEOUT_S, Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.strap import VirtualStrap
from store.errors import BluetoothError
from store.types import HeartRateMeasurement

ADDRESS = "C0:FF:EE:00:00:01"
CONTROL_POINT_UUID = "00002a39-0000-1000-8000-00805f9b34fb"
PATIENCE_S = 5.0
CONNECTION_COMPLETE = b"\x04\x3e\x13"


@pytest.fixture
def air() -> Air:
    return Air()


@pytest.fixture
async def strap(air: Air) -> AsyncIterator[VirtualStrap]:
    strap = VirtualStrap(air, ADDRESS, "Strap 1", battery_pct=87, advertising_interval_ms=20)
    await strap.start()
    yield strap
    await strap.stop()


@pytest.fixture
async def adapter(air: Air) -> VirtualAdapter:
    adapter = VirtualAdapter(air)
    await adapter.start()
    return adapter


@pytest.fixture
def radio(adapter: VirtualAdapter) -> Radio:
    return adapter.radio


async def seen(radio: Radio) -> BLEDevice:
    device = await BleakScanner.find_device_by_address(ADDRESS, timeout=PATIENCE_S, backend=radio.scanner)
    assert device is not None
    return device


def client_of(device: BLEDevice, radio: Radio, **options) -> BleakClient:
    return BleakClient(device, **options, **radio.client_options())


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0)


async def test_a_scan_shows_name_and_services(strap: VirtualStrap, radio: Radio) -> None:
    assert await scan(radio, 0.1) == [Sighting(ADDRESS, "Strap 1", -50, (HEART_RATE_UUID, BATTERY_UUID))]


async def test_a_strap_out_of_range_is_not_seen(strap: VirtualStrap, radio: Radio) -> None:
    strap.vanish()
    assert await scan(radio, 0.1) == []
    strap.reappear()
    assert [sighting.address for sighting in await scan(radio, 0.1)] == [ADDRESS]


async def test_every_lost_advertisement_means_nothing_is_seen(
    radio: Radio, strap: VirtualStrap, air: Air
) -> None:
    air.advertising_loss_frac = 1.0
    assert await scan(radio, 0.1) == []


async def test_services_read_and_write(strap: VirtualStrap, radio: Radio) -> None:
    async with client_of(await seen(radio), radio) as client:
        assert client.mtu_size == 517
        assert await client.read_gatt_char(LEVEL_UUID) == b"\x57"
        assert await client.read_gatt_char(MANUFACTURER_NAME_UUID) == b"evenkeel"
        assert await client.read_gatt_char(SERIAL_NUMBER_UUID) == ADDRESS.encode()
        await client.write_gatt_char(CONTROL_POINT_UUID, b"\x01", response=True)
        assert strap.energy_resets == 1
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(CONTROL_POINT_UUID, b"\x07", response=True)
        assert refused.value.code == 0x80
        assert strap.energy_resets == 1


@pytest.mark.parametrize("latency_s", [0.0, 0.002])
async def test_payloads_of_every_size_arrive_as_sent(
    strap: VirtualStrap, radio: Radio, air: Air, latency_s: float
) -> None:
    air.latency_s = latency_s
    got: list[bytes] = []
    frames = [bytes(range(size)) for size in range(21)] + [b"\xff" * 514]
    async with client_of(await seen(radio), radio) as client:
        await client.start_notify(MEASUREMENT_UUID, lambda _, frame: got.append(bytes(frame)))
        for frame in frames:
            assert await strap.send_frame(frame) == 1
        await until(lambda: len(got) == len(frames))
    assert got == frames


async def test_a_hundred_identical_frames_all_arrive(strap: VirtualStrap, radio: Radio) -> None:
    got: list[HeartRateMeasurement] = []
    same = HeartRateMeasurement(72, skin_contact=True, energy_kj=7, rr_ms=(833.0078125,))
    async with client_of(await seen(radio), radio) as client:
        await client.start_notify(
            MEASUREMENT_UUID, lambda _, frame: got.append(decode_heart_rate(bytes(frame)))
        )
        for _ in range(100):
            await strap.send(same)
        await until(lambda: len(got) == 100)
    assert got == [same] * 100


async def test_only_subscribers_are_notified(strap: VirtualStrap, radio: Radio) -> None:
    got: list[bytes] = []
    async with client_of(await seen(radio), radio) as client:
        assert not strap.subscribed
        assert await strap.send_frame(b"\x00\x46") == 0
        await client.start_notify(MEASUREMENT_UUID, lambda _, frame: got.append(bytes(frame)))
        assert strap.subscribed
        assert await strap.send_frame(b"\x00\x47") == 1
        await until(lambda: got)
        await client.stop_notify(MEASUREMENT_UUID)
        assert not strap.subscribed
    assert got == [b"\x00\x47"]


async def test_vanishing_is_noticed_and_a_new_connection_works(strap: VirtualStrap, radio: Radio) -> None:
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    client = client_of(await seen(radio), radio, disconnected_callback=lambda _: gone.set())
    await client.connect()
    vanished_s = loop.time()
    strap.vanish()
    async with asyncio.timeout(PATIENCE_S):
        await gone.wait()
    assert loop.time() - vanished_s >= SUPERVISION_TIMEOUT_S * 0.9
    assert not client.is_connected
    assert not strap.connected
    with pytest.raises(BleakError):
        await client.read_gatt_char(LEVEL_UUID)
    strap.reappear()
    await client.connect()
    assert await client.read_gatt_char(LEVEL_UUID) == b"\x57"
    await client.disconnect()


async def test_a_read_in_flight_fails_when_the_strap_vanishes(strap: VirtualStrap, radio: Radio) -> None:
    client = client_of(await seen(radio), radio)
    await client.connect()
    strap.vanish()
    with pytest.raises(BleakError, match="Disconnected during the operation"):
        await client.read_gatt_char(LEVEL_UUID)


async def test_the_strap_may_leave(strap: VirtualStrap, radio: Radio) -> None:
    gone = asyncio.Event()
    client = client_of(await seen(radio), radio, disconnected_callback=lambda _: gone.set())
    await client.connect()
    await strap.drop()
    async with asyncio.timeout(PATIENCE_S):
        await gone.wait()
    assert not client.is_connected


async def test_a_connect_times_out_and_a_later_one_succeeds(strap: VirtualStrap, radio: Radio) -> None:
    device = await seen(radio)
    strap.vanish()
    with pytest.raises(TimeoutError):
        await client_of(device, radio, timeout=0.1).connect()
    strap.reappear()
    client = client_of(device, radio, timeout=PATIENCE_S)
    await client.connect()
    assert client.is_connected
    await client.disconnect()


async def test_a_cancelled_connect_leaves_no_connection(
    strap: VirtualStrap, radio: Radio, adapter: VirtualAdapter
) -> None:
    device = await seen(radio)
    controller = adapter.device.controller
    cancelled = 0
    for turns in range(40):
        client = client_of(device, radio)
        connecting = asyncio.create_task(client.connect())
        await until(lambda: controller.pending_le_connection is not None)
        await until(lambda: controller.pending_le_connection is None)
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        cancelled += connecting.cancelled()
        await client.disconnect()
        await until(lambda: not strap.connected)
        await asyncio.sleep(0.005)
        assert not strap.connected
    assert cancelled > 10


@pytest.mark.parametrize("turns", range(1, 6))
async def test_nor_does_one_whose_event_comes_as_it_is_cancelled(
    strap: VirtualStrap, radio: Radio, adapter: VirtualAdapter, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    address = (await seen(radio)).details["address"]
    stumbled: list[object] = []
    loop, host = asyncio.get_running_loop(), adapter.device.host
    loop.set_exception_handler(lambda _loop, context: stumbled.append(context))
    take = host.on_packet

    def late(packet: bytes, left: int = turns) -> None:
        if not packet.startswith(CONNECTION_COMPLETE):
            take(packet)
            return
        if left == turns:
            connecting.cancel()
        if left:
            loop.call_soon(late, packet, left - 1)
        else:
            take(packet)

    monkeypatch.setattr(host, "on_packet", late)
    connecting = asyncio.create_task(adapter.device.connect_to(address))
    await asyncio.gather(connecting, return_exceptions=True)
    await until(lambda: not strap.connected)
    await asyncio.sleep(0.005)
    assert (strap.connected, connecting.cancelled(), stumbled) == (False, True, [])


async def test_an_answer_to_a_withdrawn_request_is_dropped(
    strap: VirtualStrap, radio: Radio, caplog: pytest.LogCaptureFixture
) -> None:
    stumbled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: stumbled.append(context))
    async with client_of(await seen(radio), radio) as client:
        for turns in range(12):
            reading = asyncio.create_task(client.read_gatt_char(LEVEL_UUID))
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await asyncio.sleep(0.002)
        assert await client.read_gatt_char(LEVEL_UUID) == b"\x57"
    assert stumbled == []
    assert "unexpected response" not in caplog.text


async def test_the_controller_says_that_a_request_was_withdrawn(
    strap: VirtualStrap, radio: Radio, adapter: VirtualAdapter
) -> None:
    device = await seen(radio)
    strap.vanish()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BumbleTimeoutError):
            await adapter.device.connect(device.details["address"], timeout=0.05)


async def test_the_retry_connector_connects(strap: VirtualStrap, radio: Radio) -> None:
    device = await seen(radio)
    client = await establish_connection(
        BleakClientWithServiceCache, device, "strap", **radio.client_options()
    )
    assert client.services.get_characteristic(MEASUREMENT_UUID) is not None
    await client.disconnect()


async def test_a_client_finds_a_strap_by_its_address(strap: VirtualStrap, radio: Radio) -> None:
    async with BleakClient(ADDRESS, **radio.client_options()) as client:
        assert await client.read_gatt_char(LEVEL_UUID) == b"\x57"


async def test_two_adapters_on_two_airs_do_not_meet(strap: VirtualStrap, radio: Radio) -> None:
    other = VirtualAdapter(Air())
    await other.start()
    assert await scan(other.radio, 0.1) == []
    assert len(await scan(radio, 0.1)) == 1


async def test_no_bluetooth_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    with pytest.raises(
        BluetoothError,
        match=r"^No usable Bluetooth .* cannot be reached: No such file or directory\); plug in",
    ) as said:
        await scan(Radio(), 0.1)
    assert "\n" not in str(said.value)
