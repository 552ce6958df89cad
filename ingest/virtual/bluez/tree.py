"""The objects of a D-Bus service: their properties, their methods, and the signals when they change."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar

from dbus_fast import Message, MessageType, Variant

from ingest.virtual.bluez.errors import UNKNOWN_METHOD, UNKNOWN_OBJECT, UNKNOWN_PROPERTY, BlueZError

OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"

Answer = tuple[str, list[Any]]
"""Signature and body of what a method returns."""

NOTHING: Answer = ("", [])

Method = Callable[[str, list[Any]], Awaitable[Answer]]
"""Called with the caller's unique bus name and the arguments."""

_SIGNATURES = {
    "Adapter": "o", "Address": "s", "AddressType": "s", "AdvertisingFlags": "ay", "Alias": "s",
    "Appearance": "q", "Blocked": "b", "Bonded": "b", "Characteristic": "o", "Class": "u", "Connected": "b",
    "Device": "o", "Discoverable": "b", "Discovering": "b", "Flags": "as", "Includes": "ao",
    "LegacyPairing": "b", "MTU": "q", "ManufacturerData": "a{qv}", "Modalias": "s", "Name": "s",
    "Notifying": "b", "Pairable": "b", "Paired": "b", "Powered": "b", "Primary": "b", "RSSI": "n",
    "Roles": "as", "Service": "o", "ServiceData": "a{sv}", "ServicesResolved": "b", "Trusted": "b",
    "TxPower": "n", "UUID": "s", "UUIDs": "as", "Value": "ay",
}  # fmt: skip
"""Types of the properties, org.bluez.*.rst of BlueZ 5.66."""

_VALUES_ARE_BYTES = ("a{qv}", "a{sv}")


class Exported:
    """An object on the bus, with one interface of its own besides the standard ones.

    Attributes
    ----------
    interface : str
    path : str
    properties : dict
        As plain Python values; change them through `ObjectTree.change`.
    methods : mapping of member name to Method
    """

    interface: ClassVar[str]

    def __init__(self, path: str, properties: dict[str, Any]) -> None:
        self.path = path
        self.properties = properties
        self.methods: Mapping[str, Method] = {}

    def set_property(self, name: str, value: object) -> None:
        """Take a value that a client sets; refuses by raising `BlueZError`."""
        del value
        raise BlueZError(UNKNOWN_PROPERTY, f"Property '{name}' is not writable")


class ObjectTree:
    """All objects of a service, and the object manager at ``/`` that lists them.

    Parameters
    ----------
    send : callable of Message
        Puts a signal on the bus.
    """

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._objects: dict[str, Exported] = {}

    def add(self, exported: Exported) -> None:
        """Put an object on the bus."""
        self._objects[exported.path] = exported
        body = [exported.path, {exported.interface: _packed(exported.properties)}]
        self._signal("/", OBJECT_MANAGER, "InterfacesAdded", ("oa{sa{sv}}", body))

    def remove(self, exported: Exported) -> None:
        """Take an object off the bus; nothing happens if it is not there."""
        if self._objects.get(exported.path) is exported:
            del self._objects[exported.path]
            body = [exported.path, [exported.interface]]
            self._signal("/", OBJECT_MANAGER, "InterfacesRemoved", ("oas", body))

    def change(self, exported: Exported, changed: Mapping[str, Any], *, without: Iterable[str] = ()) -> None:
        """Set properties of an object, take others away, and tell everybody who listens."""
        gone = [name for name in without if exported.properties.pop(name, None) is not None]
        exported.properties.update(changed)
        if self._objects.get(exported.path) is exported:
            body = [exported.interface, _packed(changed), gone]
            self._signal(exported.path, PROPERTIES, "PropertiesChanged", ("sa{sv}as", body))

    async def call(self, message: Message) -> Answer:
        """Answer a method call.

        Raises
        ------
        BlueZError
            If it is refused, or there is no such object, interface, method or property.
        """
        path, interface, member = message.path or "", message.interface or "", message.member or ""
        if (path, interface, member) == ("/", OBJECT_MANAGER, "GetManagedObjects"):
            return "a{oa{sa{sv}}}", [{held.path: _interfaces(held) for held in self._objects.values()}]
        exported = self._objects.get(path)
        unknown = f'Method "{member}" with signature "{message.signature}" on interface "{interface}"'
        if exported is None:
            raise BlueZError(UNKNOWN_OBJECT, f"{unknown} doesn't exist")
        if interface == PROPERTIES:
            return _properties_call(exported, member, message.body)
        method = exported.methods.get(member)
        if method is None or interface not in ("", exported.interface):
            raise BlueZError(UNKNOWN_METHOD, f"{unknown} doesn't exist")
        return await method(message.sender or "", message.body)

    def _signal(self, path: str, interface: str, member: str, content: Answer) -> None:
        signature, body = content
        self._send(
            Message(
                message_type=MessageType.SIGNAL,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=body,
            )
        )


def _properties_call(exported: Exported, member: str, arguments: list[Any]) -> Answer:
    packed = _packed(exported.properties)
    if member == "GetAll":
        return "a{sv}", [packed]
    name = arguments[1] if len(arguments) > 1 else ""
    if member == "Get" and name in packed:
        return "v", [packed[name]]
    if member == "Set" and name in packed:
        exported.set_property(name, arguments[2].value)
        return NOTHING
    raise BlueZError(UNKNOWN_PROPERTY, f"No such property '{name}'")


def _interfaces(exported: Exported) -> dict[str, dict[str, Variant]]:
    return {exported.interface: _packed(exported.properties)}


def _packed(properties: Mapping[str, Any]) -> dict[str, Variant]:
    return {name: _variant(_SIGNATURES[name], value) for name, value in properties.items()}


def _variant(signature: str, value: Any) -> Variant:  # noqa: ANN401 - any property's value
    if signature in _VALUES_ARE_BYTES:
        value = {key: Variant("ay", held) for key, held in value.items()}
    return Variant(signature, value)
