"""The air between virtual Bluetooth devices: Bumble's virtual controller and link, made to behave like radio.

Bumble 0.0.236 lets a link of two controllers carry real HCI, L2CAP, ATT and GATT without any hardware. What
its controller leaves out, and a collector must survive, is added here: scan responses, a connection request
that can be withdrawn or goes unanswered, a peer that vanishes and is missed after the supervision timeout,
advertisements that reach only those who listen and may be lost, and a link that takes time.
"""

import asyncio
import random
import struct
from collections.abc import Callable
from typing import Any, cast

from bumble import att, hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.device import Connection as DeviceConnection
from bumble.device import Device, DeviceConfiguration
from bumble.host import Host
from bumble.link import LocalLink

SUPERVISION_TIMEOUT_S = 0.5
"""Real centrals wait 0.42 to 6 s before they give up a silent link; short, so that tests are."""

NOTIFICATION_OPCODE = 0x1B
"""ATT_HANDLE_VALUE_NTF, Bluetooth Core 5.4 Vol 3 Part F 3.4.7.1."""

INDICATION_OPCODE = 0x1D
"""ATT_HANDLE_VALUE_IND, same part, 3.4.7.2: with notifications all odd opcodes that answer no request."""

_COMPLETED_PACKETS = struct.Struct("<BBBBHH")
_COMPLETED_PACKETS_HEAD = bytes([hci.HCI_EVENT_PACKET, hci.HCI_NUMBER_OF_COMPLETED_PACKETS_EVENT, 5, 1])


class AirController(Controller):
    """A virtual controller with legacy advertising, scan responses and connections that can be withdrawn.

    The overrides of `on_hci_packet` and `send_hci_packet` keep Bumble's behaviour without the text that it
    formats for its log on each packet, logged or not: that text takes longer than the packet itself.
    """

    # Straps advertise in legacy PDUs; with the extended features masked, hosts use the legacy commands.
    le_features = Controller.le_features & ~(
        hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
        | hci.LeFeatureMask.LL_PRIVACY
    )
    le_acl_data_packet_length = 251

    @property
    def is_listening(self) -> bool:
        """Whether an advertisement would be heard."""
        return self.le_scan_enable or self.pending_le_connection is not None

    @property
    def scan_response(self) -> bytes:
        """What this controller answers to an active scan."""
        return bytes(self.le_legacy_advertiser.scan_response_data)

    def hear(self, advertisement: ll.AdvInd, scan_response: bytes) -> None:
        """Report an advertisement to the host, or answer it with the pending connection request."""
        report = hci.HCI_LE_Advertising_Report_Event
        if self.le_scan_enable:
            self._report(advertisement, report.EventType.ADV_IND, advertisement.data)
            if scan_response:
                self._report(advertisement, report.EventType.SCAN_RSP, scan_response)
        pending = self.pending_le_connection
        if pending is not None and pending.peer_address == advertisement.advertiser_address:
            self.create_le_connection(advertisement.advertiser_address)

    def lose(self, connection: Connection, reason: int) -> None:
        """Tell the host that the connection is gone, unless it knows."""
        if self.le_connections.get(connection.peer_address) is connection:
            self.on_le_disconnected(connection, reason)

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Withdraw the pending connection request (Bumble answers success and keeps it)."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        withdrawn = hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=0,
            role=hci.Role.CENTRAL,
            peer_address_type=pending.peer_address.address_type,
            peer_address=pending.peer_address,
            connection_interval=0,
            peripheral_latency=0,
            supervision_timeout=0,
            central_clock_accuracy=0,
        )
        asyncio.get_running_loop().call_soon(self.send_hci_packet, withdrawn)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Take a packet from the host."""
        if isinstance(packet, hci.HCI_AclDataPacket):
            self._send_acl(packet)
        else:
            super().on_hci_packet(packet)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Hand a packet to the host, not from within its own call."""
        if self.hci_sink is not None:
            asyncio.get_running_loop().call_soon(self.hci_sink.on_packet, bytes(packet))

    def _report(self, advertisement: ll.AdvInd, kind: int, data: bytes) -> None:
        event = hci.HCI_LE_Advertising_Report_Event
        address = advertisement.advertiser_address
        rssi_dbm = self.link.rssi_dbm if isinstance(self.link, Air) else 0
        report = event.Report(kind, address.address_type, address, data, rssi_dbm)
        self.send_hci_packet(event([report]))

    def _send_acl(self, packet: hci.HCI_AclDataPacket) -> None:
        connection = self.find_connection_by_handle(packet.connection_handle)
        if connection is not None and self.hci_sink is not None:
            connection.assembler.feed_packet(packet)
            completed = _COMPLETED_PACKETS.pack(*_COMPLETED_PACKETS_HEAD, packet.connection_handle, 1)
            asyncio.get_running_loop().call_soon(self.hci_sink.on_packet, completed)


class AirHost(Host):
    """Bumble's host with a short way for the two packets that come with each notification.

    It survives that a command is cancelled: Bumble stumbles over the answer, or gives it to the next command.
    """

    def on_packet(self, packet: bytes) -> None:
        """Take a packet from the controller."""
        if self.ready and packet[0] == hci.HCI_ACL_DATA_PACKET:
            self.on_hci_acl_data_packet(hci.HCI_AclDataPacket.from_bytes(packet))
        elif self.ready and packet.startswith(_COMPLETED_PACKETS_HEAD):
            *_, handle, count = _COMPLETED_PACKETS.unpack(packet)
            queue = self.get_data_packet_queue(handle)
            if queue is not None:
                queue.on_packets_completed(count, handle)
        else:
            super().on_packet(packet)

    def on_command_processed(self, event: Any) -> None:  # noqa: ANN401 - partly typed in Bumble
        """Take the answer to the command under way, and no other."""
        host = cast("Any", self)
        response = host.pending_response
        if response and not response.done() and host.pending_command.op_code == event.command_opcode:
            cast("Any", super()).on_command_processed(event)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Hand a packet to the controller."""
        if self.hci_sink is not None:
            self.hci_sink.on_packet(bytes(packet))


class AirDevice(Device):
    """A Bumble device on the air.

    Parameters
    ----------
    air : Air
    name : str
        Name in the Generic Access service.
    address : str
        Its static random address, such as ``F0:F1:F2:F3:F4:F5``.
    """

    def __init__(self, air: "Air", name: str, address: str) -> None:
        self.air = air
        self.controller = AirController(name, link=air)
        super().__init__(
            config=DeviceConfiguration(name=name, address=hci.Address(address)),
            host=AirHost(self.controller, self.controller),
        )
        # Bumble types this handler by its undecorated signature.
        self._on_other_att_pdu = cast("Callable[[int, bytes], None]", self.on_gatt_pdu)
        self.l2cap_channel_manager.register_fixed_channel(att.ATT_CID, self._on_att_pdu)

    async def connect_to(self, address: hci.Address) -> DeviceConnection:
        """Connect; when cancelled, withdraw the request (Bumble leaves it pending and refuses any other)."""
        try:
            return await self.connect(address, timeout=None)
        except asyncio.CancelledError:
            await self._abandon(address)
            raise

    async def _abandon(self, address: hci.Address) -> None:
        # Bumble has forgotten it, and would stumble over a connection whose event is still under way.
        self.connect_own_address_type = hci.OwnAddressType.RANDOM
        if self.controller.pending_le_connection is not None:
            withdraw = hci.HCI_LE_Create_Connection_Cancel_Command()  # pyright: ignore[reportUnknownVariableType]
            await self.host.send_sync_command(withdraw)  # pyright: ignore[reportUnknownArgumentType]
        # A connection that was made just before the cancellation may have its event still under way.
        while address in self.controller.le_connections and not self._connections_to(address):  # noqa: ASYNC110
            await asyncio.sleep(0)
        for connection in self._connections_to(address):
            await connection.disconnect()

    def _connections_to(self, address: hci.Address) -> list[DeviceConnection]:
        return [each for each in self.connections.values() if each.peer_address == address]

    def _on_att_pdu(self, connection_handle: int, pdu: bytes) -> None:
        connection = self.lookup_connection(connection_handle)
        if connection is not None and pdu[0] == NOTIFICATION_OPCODE:
            notification = att.ATT_Handle_Value_Notification(int.from_bytes(pdu[1:3], "little"), pdu[3:])
            connection.gatt_client.on_att_handle_value_notification(notification)
        elif connection is not None and not _answers_nobody(connection, pdu):
            self._on_other_att_pdu(connection_handle, pdu)


def _answers_nobody(connection: DeviceConnection, pdu: bytes) -> bool:
    """Say whether this responds to a request that was cancelled meanwhile; Bumble stumbles over it."""
    pending = connection.gatt_client.pending_response
    is_response = pdu[0] % 2 == 1 and pdu[0] != INDICATION_OPCODE
    return is_response and (pending is None or pending.done())


class Air(LocalLink):
    """The space in which virtual devices hear each other.

    Parameters
    ----------
    advertising_loss_frac : float
        Share of advertisements that a listener misses, 0-1. Connected data is never lost: a link layer
        repeats it until the supervision timeout.
    latency_s : float
        Delay of connected data, as a connection interval would add.
    seed : int
        Of the losses.
    rssi_dbm : int
        Signal strength that scanners report.
    """

    def __init__(
        self,
        *,
        advertising_loss_frac: float = 0.0,
        latency_s: float = 0.0,
        seed: int = 0,
        rssi_dbm: int = -50,
    ) -> None:
        super().__init__()
        self.advertising_loss_frac = advertising_loss_frac
        self.latency_s = latency_s
        self.rssi_dbm = rssi_dbm
        self._random = random.Random(seed)  # noqa: S311 - losses that a test can repeat

    def vanish(self, controller: Controller) -> None:
        """Take a controller out of range; both ends of its links notice after the supervision timeout.

        The links are lost even if it is back sooner.
        """
        self.controllers.discard(controller)
        for other in [controller, *self.controllers]:
            for peer, connection in other.le_connections.items():
                if other is controller or peer in (controller.random_address, controller.public_address):
                    self._lose_later(other, connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def reappear(self, controller: Controller) -> None:
        """Bring a controller back into range."""
        self.controllers.add(controller)

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        """Carry an advertisement to those who listen, or a connection request to its advertiser."""
        if sender_controller not in self.controllers or not isinstance(sender_controller, AirController):
            return
        loop = asyncio.get_running_loop()
        if isinstance(packet, ll.ConnectInd):
            loop.call_soon(self._request_connection, sender_controller, packet)
        elif isinstance(packet, ll.AdvInd):
            for listener in self.controllers - {sender_controller}:
                if isinstance(listener, AirController) and listener.is_listening and not self._is_lost():
                    loop.call_soon(listener.hear, packet, sender_controller.scan_response)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """Carry a control PDU, if both ends are in range (Bumble raises where the peer is not)."""
        if self.find_le_controller(sender_address) and self.find_le_controller(receiver_address):
            super().send_ll_control_pdu(sender_address, receiver_address, packet)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Carry connected data, if both ends are in range."""
        destination = self.find_le_controller(destination_address)
        if sender_controller not in self.controllers or destination is None:
            return
        loop = asyncio.get_running_loop()
        source = sender_controller.random_address
        if self.latency_s > 0:
            loop.call_later(self.latency_s, destination.on_link_acl_data, source, transport, data)
        else:
            loop.call_soon(destination.on_link_acl_data, source, transport, data)

    def _is_lost(self) -> bool:
        return self.advertising_loss_frac > 0 and self._random.random() < self.advertising_loss_frac

    def _request_connection(self, central: AirController, request: ll.ConnectInd) -> None:
        """Connect both ends; a request that nobody takes fails at the central as a silent link does."""
        target = self.find_le_controller(request.advertiser_address)
        if target is not None:
            target.on_ll_advertising_pdu(request)
        if target is None or request.initiator_address not in target.le_connections:
            connection = central.le_connections[request.advertiser_address]
            reason = hci.HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR
            self._lose_later(central, connection, reason)

    def _lose_later(self, controller: Controller, connection: Connection, reason: int) -> None:
        if isinstance(controller, AirController):
            loop = asyncio.get_running_loop()
            loop.call_later(SUPERVISION_TIMEOUT_S, controller.lose, connection, reason)
