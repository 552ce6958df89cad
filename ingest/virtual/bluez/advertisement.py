"""What bluetoothd makes of an advertisement: properties of `org.bluez.Device1`. Pure."""

from typing import Any

from bleak.uuids import normalize_uuid_str
from bumble.core import UUID, AdvertisingData

_UUID_SIZES = {
    AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
    AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
}
_SERVICE_DATA_SIZES = {
    AdvertisingData.SERVICE_DATA_16_BIT_UUID: 2,
    AdvertisingData.SERVICE_DATA_128_BIT_UUID: 16,
}
_NAMES = (AdvertisingData.SHORTENED_LOCAL_NAME, AdvertisingData.COMPLETE_LOCAL_NAME)


def uuid_text(uuid: UUID) -> str:
    """Return a UUID as bluetoothd writes it: 128 bits, lower case."""
    return normalize_uuid_str(uuid.to_hex_str("-" if len(uuid.uuid_bytes) == 16 else ""))


def advertised_properties(payload: bytes) -> dict[str, Any]:
    """Return the properties that an advertisement or a scan response tells.

    Fields too short for their type are left out, as bluetoothd does.

    Parameters
    ----------
    payload : bytes
        AD structures, Bluetooth Core 5.4 Vol 3 Part C 11.

    Examples
    --------
    >>> advertised_properties(bytes.fromhex("03030d18 020af4"))
    {'UUIDs': ['0000180d-0000-1000-8000-00805f9b34fb'], 'TxPower': -12}
    """
    told: dict[str, Any] = {}
    for kind, value in AdvertisingData.from_bytes(payload).ad_structures:
        size = _UUID_SIZES.get(kind)
        if size is not None:
            told.setdefault("UUIDs", []).extend(_uuids(value, size))
        elif kind in _NAMES and value:
            told["Name"] = told["Alias"] = value.decode(errors="replace")
        elif kind in _SERVICE_DATA_SIZES and len(value) >= _SERVICE_DATA_SIZES[kind]:
            size = _SERVICE_DATA_SIZES[kind]
            told.setdefault("ServiceData", {})[uuid_text(UUID.from_bytes(value[:size]))] = value[size:]
        elif kind == AdvertisingData.MANUFACTURER_SPECIFIC_DATA and len(value) >= 2:
            company = int.from_bytes(value[:2], "little")
            told.setdefault("ManufacturerData", {})[company] = value[2:]
        else:
            told.update(_small_field(kind, value))
    return told


def _uuids(value: bytes, size: int) -> list[str]:
    starts = range(0, len(value) - size + 1, size)
    return [uuid_text(UUID.from_bytes(value[start : start + size])) for start in starts]


def _small_field(kind: int, value: bytes) -> dict[str, Any]:
    if kind == AdvertisingData.FLAGS and value:
        return {"AdvertisingFlags": value}
    if kind == AdvertisingData.TX_POWER_LEVEL and len(value) == 1:
        return {"TxPower": int.from_bytes(value, "little", signed=True)}
    if kind == AdvertisingData.APPEARANCE and len(value) == 2:
        return {"Appearance": int.from_bytes(value, "little")}
    return {}
