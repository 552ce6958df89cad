"""An adapter as bluetoothd knows it: discovery for several clients at once, and the devices it heard."""

import asyncio
from typing import Any

from bumble import hci

from ingest.virtual.air import Air, AirDevice
from ingest.virtual.bluez.advertisement import advertised_properties
from ingest.virtual.bluez.device import Behaviour, Central, RemoteDevice
from ingest.virtual.bluez.errors import DOES_NOT_EXIST, FAILED, IN_PROGRESS, NOT_READY, BlueZError
from ingest.virtual.bluez.tree import NOTHING, Answer, Exported, ObjectTree

_EventType = hci.HCI_LE_Advertising_Report_Event.EventType
_Report = hci.HCI_LE_Advertising_Report_Event.Report

MODALIAS = "usb:v1D6Bp0246d0542"
"""Linux Foundation, BlueZ 5.66."""


class Adapter(Exported):
    """An adapter.

    Parameters
    ----------
    tree : ObjectTree
    air : Air
    name : str
        Such as ``hci0``.
    address : str
        Static random address.
    behaviour : Behaviour
    """

    interface = "org.bluez.Adapter1"

    def __init__(self, tree: ObjectTree, air: Air, name: str, address: str, behaviour: Behaviour) -> None:
        told: dict[str, Any] = {"Address": address, "AddressType": "public", "Name": name, "Alias": name}
        told |= {"Class": 0, "Powered": True, "Discoverable": False, "Pairable": True, "Discovering": False}
        told |= {"UUIDs": [], "Modalias": MODALIAS, "Roles": ["central", "peripheral"]}
        super().__init__(f"/org/bluez/{name}", told)
        self.methods = {
            "SetDiscoveryFilter": self._set_filter,
            "GetDiscoveryFilters": self._filter_names,
            "StartDiscovery": self._start_discovery,
            "StopDiscovery": self._stop_discovery,
            "RemoveDevice": self._remove_device,
        }
        self._tree = tree
        self._air = air
        self._radio = AirDevice(air, name, address)
        self._central = Central(self._radio, tree, behaviour)
        self._devices: dict[hci.Address, RemoteDevice] = {}
        self._filters: dict[str, dict[str, Any]] = {}
        self._discovering: dict[str, dict[str, Any]] = {}
        self._scanning = asyncio.Lock()
        self._pending: _Report | None = None

    @property
    def connections(self) -> int:
        """How many links stand."""
        return len(self._radio.connections)

    async def start(self) -> None:
        """Switch on and put the adapter on the bus."""
        await self._radio.power_on()
        self._radio.host.on("advertising_report", self._on_report)
        self._tree.add(self)

    async def stop(self) -> None:
        """Leave every wearable and the air."""
        self._discovering.clear()
        await self._scan_if_wanted()
        for device in list(self._devices.values()):
            await device.leave()
            self._forget(device)
        self._tree.remove(self)
        await self._radio.power_off()
        self._air.vanish(self._radio.controller)

    async def forget_client(self, client: str) -> None:
        """End what a client that left the bus had asked for; links outlive it."""
        self._filters.pop(client, None)
        if self._discovering.pop(client, None) is not None:
            await self._scan_if_wanted()
        for device in list(self._devices.values()):
            await device.forget_client(client)

    def set_property(self, name: str, value: object) -> None:
        """Take what a client may set; switched off, an adapter leaves every wearable."""
        if name not in ("Powered", "Discoverable", "Pairable", "Alias"):
            super().set_property(name, value)
        self._tree.change(self, {name: value})
        if name == "Powered":
            self._central.is_powered = bool(value)
            if not value:
                self._switching_off = asyncio.create_task(self._leave_all())

    async def _leave_all(self) -> None:
        self._discovering.clear()
        await self._scan_if_wanted()
        for device in list(self._devices.values()):
            await device.leave()

    # Discovery

    async def _set_filter(self, client: str, arguments: list[Any]) -> Answer:
        self._filters[client] = {name: variant.value for name, variant in arguments[0].items()}
        if client in self._discovering:
            self._discovering[client] = self._filters[client]
        return NOTHING

    async def _filter_names(self, _client: str, _arguments: list[Any]) -> Answer:
        return "as", [["UUIDs", "RSSI", "Pathloss", "Transport", "DuplicateData", "Discoverable", "Pattern"]]

    async def _start_discovery(self, client: str, _arguments: list[Any]) -> Answer:
        if not self._central.is_powered:
            raise BlueZError(NOT_READY, "Resource Not Ready")
        if client in self._discovering:
            raise BlueZError(IN_PROGRESS, "Operation already in progress")
        self._discovering[client] = self._filters.get(client, {})
        await self._scan_if_wanted()
        return NOTHING

    async def _stop_discovery(self, client: str, _arguments: list[Any]) -> Answer:
        if self._discovering.pop(client, None) is None:
            raise BlueZError(FAILED, "No discovery started")
        await self._scan_if_wanted()
        return NOTHING

    async def _scan_if_wanted(self) -> None:
        async with self._scanning:
            is_wanted = bool(self._discovering)
            if is_wanted == self._radio.scanning:
                return
            if is_wanted:
                await self._radio.start_scanning(legacy=True)
            else:
                await self._radio.stop_scanning(legacy=True)
            self._tree.change(self, {"Discovering": is_wanted})
            if not is_wanted:
                self._pending = None
                for device in self._devices.values():
                    device.unheard()

    def _on_report(self, report: _Report) -> None:
        """Take a report from the controller.

        As in Linux, an advertisement waits for its scan response, to be told as one; without any it is told
        when the next one comes.
        """
        pending, self._pending = self._pending, None
        if pending is not None and _answers(report, pending):
            self._found(report, advertised_properties(bytes(pending.data) + bytes(report.data)))
            return
        if pending is not None:
            self._found(pending, advertised_properties(pending.data))
        if report.event_type == _EventType.ADV_IND:
            self._pending = report
        else:
            self._found(report, advertised_properties(report.data))

    def _found(self, report: _Report, advertised: dict[str, Any]) -> None:
        if not self._is_wanted(report.address, advertised, report.rssi):
            return
        device = self._devices.get(report.address)
        is_new = device is None
        if device is None:
            device = RemoteDevice(self._central, self.path, report.address, self._forget)
            self._devices[report.address] = device
        device.heard(advertised, report.rssi, is_new=is_new)

    def _is_wanted(self, address: hci.Address, advertised: dict[str, Any], rssi_dbm: int) -> bool:
        """Say whether any client's filter lets this advertisement pass."""
        return any(_passes(wanted, address, advertised, rssi_dbm) for wanted in self._discovering.values())

    # Forgetting

    async def _remove_device(self, _client: str, arguments: list[Any]) -> Answer:
        for device in list(self._devices.values()):
            if device.path == arguments[0]:
                await device.leave()
                self._forget(device)
                return NOTHING
        raise BlueZError(DOES_NOT_EXIST, "Does Not Exist")

    def _forget(self, device: RemoteDevice) -> None:
        for address, held in list(self._devices.items()):
            if held is device:
                del self._devices[address]
        device.close()


def _answers(report: _Report, advertisement: _Report) -> bool:
    is_response = report.event_type == _EventType.SCAN_RSP
    return is_response and report.address == advertisement.address


def _passes(wanted: dict[str, Any], address: hci.Address, advertised: dict[str, Any], rssi_dbm: int) -> bool:
    uuids, pattern = wanted.get("UUIDs"), wanted.get("Pattern", "")
    if uuids and not set(uuids) & set(advertised.get("UUIDs", [])):
        return False
    if rssi_dbm < wanted.get("RSSI", rssi_dbm):
        return False
    names = (address.to_string(with_type_qualifier=False), advertised.get("Name", ""))
    return any(name.startswith(pattern) for name in names)
