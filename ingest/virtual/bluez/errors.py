"""Errors as bluetoothd answers them: a D-Bus error name and a text, on both of which Bleak relies."""

from bumble import att

FAILED = "org.bluez.Error.Failed"
IN_PROGRESS = "org.bluez.Error.InProgress"
NOT_READY = "org.bluez.Error.NotReady"
NOT_CONNECTED = "org.bluez.Error.NotConnected"
NOT_PERMITTED = "org.bluez.Error.NotPermitted"
NOT_SUPPORTED = "org.bluez.Error.NotSupported"
NOT_AUTHORIZED = "org.bluez.Error.NotAuthorized"
INVALID_ARGUMENTS = "org.bluez.Error.InvalidArguments"
IMPROPERLY_CONFIGURED = "org.bluez.Error.ImproperlyConfigured"
DOES_NOT_EXIST = "org.bluez.Error.DoesNotExist"
UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
UNKNOWN_PROPERTY = "org.freedesktop.DBus.Error.UnknownProperty"

ABORTED = "le-connection-abort-by-local"
"""A connection request that the kernel gave up after 20 s, and many that failed for no visible reason."""
CANCELED = "br-connection-canceled"
"""`Disconnect` while `Connect` was under way; said of LE, too."""
NO_SLOT = "le-connection-concurrent-connection-limit"
"""The adapter's controller holds no more connections."""

_BY_ATT_ERROR = {
    att.ATT_READ_NOT_PERMITTED_ERROR: (NOT_PERMITTED, "Read not permitted"),
    att.ATT_WRITE_NOT_PERMITTED_ERROR: (NOT_PERMITTED, "Write not permitted"),
    att.ATT_INSUFFICIENT_AUTHENTICATION_ERROR: (NOT_PERMITTED, "Not paired"),
    att.ATT_INSUFFICIENT_ENCRYPTION_ERROR: (NOT_PERMITTED, "Not paired"),
    att.ATT_REQUEST_NOT_SUPPORTED_ERROR: (NOT_SUPPORTED, "Operation is not supported"),
    att.ATT_INVALID_OFFSET_ERROR: (INVALID_ARGUMENTS, "Invalid offset"),
    att.ATT_INSUFFICIENT_AUTHORIZATION_ERROR: (NOT_AUTHORIZED, "Operation Not Authorized"),
    att.ATT_INVALID_ATTRIBUTE_LENGTH_ERROR: (INVALID_ARGUMENTS, "Invalid Length"),
    0xFD: (IMPROPERLY_CONFIGURED, ""),  # CCCD improperly configured, Core Specification Supplement B 1.2
}


class BlueZError(Exception):
    """An answer that is an error.

    Attributes
    ----------
    name : str
        D-Bus error name.
    text : str
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"[{name}] {text}")
        self.name = name
        self.text = text


def att_error(code: int) -> BlueZError:
    """Return how bluetoothd says an ATT error (its `create_gatt_dbus_error`)."""
    name, text = _BY_ATT_ERROR.get(code, (FAILED, f"Operation failed with ATT error: 0x{code:02x}"))
    return BlueZError(name, text)
