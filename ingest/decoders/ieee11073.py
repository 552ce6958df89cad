"""The decimal numbers of medical devices: SFLOAT (16 bits) and FLOAT (32 bits) of IEEE 11073-20601.

Both are a mantissa and a power of ten, and both have values that are no numbers at all. Those decode to
`NoNumber`, never to a float, so that none can be taken for a measurement.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from math import isfinite

from store.errors import DataError

REFERENCE = "ISO/IEEE 11073-20601, annex F.6 (FLOAT) and F.7 (SFLOAT)"


class NoNumber(Enum):
    """What a wearable sends in place of a number."""

    NAN = "not a number"
    NRES = "not at this resolution"
    POSITIVE_INFINITY = "above what can be measured"
    NEGATIVE_INFINITY = "below what can be measured"
    RESERVED = "reserved"


Number = float | NoNumber


@dataclass(frozen=True, slots=True)
class _Form:
    """One of the two encodings, by the bits of its mantissa and exponent."""

    name: str
    mantissa_bits: int
    exponent_bits: int

    @property
    def no_numbers(self) -> dict[int, NoNumber]:
        """The mantissas that are no numbers where the exponent is 0."""
        top = 1 << self.mantissa_bits - 1
        return {
            top - 1: NoNumber.NAN,
            -top: NoNumber.NRES,
            top - 2: NoNumber.POSITIVE_INFINITY,
            2 - top: NoNumber.NEGATIVE_INFINITY,
            1 - top: NoNumber.RESERVED,
        }

    def holds(self, mantissa: int, exponent: int) -> bool:
        top = 1 << self.mantissa_bits - 1
        if exponent == 0:
            return abs(mantissa) < top - 2
        return -top <= mantissa < top


_SFLOAT = _Form("SFLOAT", 12, 4)
_FLOAT = _Form("FLOAT", 24, 8)
_SFLOAT_NO_NUMBERS = {mantissa & 0xFFF: what for mantissa, what in _SFLOAT.no_numbers.items()}
_FLOAT_NO_NUMBERS = {mantissa & 0xFFFFFF: what for mantissa, what in _FLOAT.no_numbers.items()}


def decode_sfloat(raw: int) -> Number:
    """Return what 16 bits say.

    Examples
    --------
    >>> decode_sfloat(0xF3CF), decode_sfloat(0x07FF)
    (97.5, <NoNumber.NAN: 'not a number'>)
    """
    if raw in _SFLOAT_NO_NUMBERS:
        return _SFLOAT_NO_NUMBERS[raw]
    return _scaled(((raw & 0xFFF) ^ 0x800) - 0x800, ((raw >> 12) ^ 0x8) - 0x8)


def decode_float(raw: int) -> Number:
    """Return what 32 bits say.

    Examples
    --------
    >>> decode_float(0xFF00016C)
    36.4
    """
    if raw in _FLOAT_NO_NUMBERS:
        return _FLOAT_NO_NUMBERS[raw]
    return _scaled(((raw & 0xFFFFFF) ^ 0x800000) - 0x800000, ((raw >> 24) ^ 0x80) - 0x80)


def encode_sfloat(number: Number) -> int:
    """Return the 16 bits of a number, rounded to what fits; `DataError` where it is too big."""
    return _encoded(number, _SFLOAT)


def encode_float(number: Number) -> int:
    """Return the 32 bits of a number, rounded to what fits; `DataError` where it is too big."""
    return _encoded(number, _FLOAT)


def _scaled(mantissa: int, exponent: int) -> float:
    # Dividing rounds once, as a decimal literal does; multiplying with 10**-1 would round twice.
    return float(mantissa * 10**exponent) if exponent >= 0 else mantissa / 10**-exponent


def _encoded(number: Number, form: _Form) -> int:
    mantissa, exponent = _parts(number, form)
    mantissa_mask, exponent_mask = (1 << form.mantissa_bits) - 1, (1 << form.exponent_bits) - 1
    return (exponent & exponent_mask) << form.mantissa_bits | mantissa & mantissa_mask


def _parts(number: Number, form: _Form) -> tuple[int, int]:
    """Return mantissa and exponent: exact where possible, with the exponent as near to 0 as it can be."""
    if isinstance(number, NoNumber):
        return next(mantissa for mantissa, what in form.no_numbers.items() if what is number), 0
    if not isfinite(number):
        raise DataError(f"{number} is no {form.name}; needed is a finite number or a NoNumber")
    lowest, highest = -(1 << form.exponent_bits - 1), (1 << form.exponent_bits - 1) - 1
    written = Decimal(repr(float(number))).normalize()
    exponent = int(written.as_tuple().exponent)
    mantissa = int(written.scaleb(-exponent))
    while exponent > 0 and form.holds(mantissa * 10, exponent - 1):
        mantissa, exponent = mantissa * 10, exponent - 1
    while exponent < lowest or not form.holds(mantissa, exponent):
        exponent += 1
        mantissa = int(written.scaleb(-exponent).to_integral_value())
    if exponent > highest:
        raise DataError(f"{number} does not fit a {form.name}; needed is less than 10^{highest} or so")
    return mantissa, exponent
