"""Loops over beats, compiled to machine code once and kept on disk."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function of numbers and arrays; the machine code is kept beside its source.

    The arithmetic is that of IEEE 754 in the written order, so that values do not depend on the machine.
    """
    # Numba comes without type stubs.
    return cast("_Function", cast("Any", numba).njit(cache=True, nogil=True, error_model="numpy")(function))


def compiled_sums(function: _Function) -> _Function:
    """Compile a function whose sums may be taken in any order, several terms at once.

    Twice as fast; the sixteenth digit may differ from machine to machine.
    """
    in_any_order = {"reassoc", "nsz"}
    compile_ = cast("Any", numba).njit(cache=True, nogil=True, error_model="numpy", fastmath=in_any_order)
    return cast("_Function", compile_(function))
