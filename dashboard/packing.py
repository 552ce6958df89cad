"""Code for the browser, packed once and kept; and the first layout of a page, packed as it is sent."""

import gzip
import threading
from collections.abc import Callable
from typing import cast

import brotli
from flask import Request, Response

_PACKED_TYPES = ("text/javascript", "application/javascript", "text/css", "application/json")
_MIN_BYTES = 1_000
_brotli = cast("Callable[..., bytes]", vars(brotli)["compress"])
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "br": lambda plain: _brotli(plain, quality=5),
    "gzip": lambda plain: gzip.compress(plain, 6),
}
"""Best first. Each takes 0.3 s for 1.5 MB, once; higher levels save 2 % more in three times the time."""


def packed_layout(request: Request, response: Response) -> Response:
    """Return a layout packed.

    Packing tells a listener how much repeats. A layout holds patients' data but neither a token nor anything
    that a visitor or a foreign page could put beside them, so nothing can be guessed by its length; documents
    and callbacks, which may, are never packed.
    """
    response.vary.add("Accept-Encoding")
    if response.status_code == 200 and "br" in request.accept_encodings:
        response.set_data(_brotli(response.get_data(), quality=4))
        response.headers["Content-Encoding"] = "br"
    return response


class Packing:
    """Packed files that do not change while this process lives."""

    def __init__(self) -> None:
        self._packed: dict[tuple[str, str], bytes] = {}
        self._packing = threading.Lock()

    def packed(self, request: Request, response: Response) -> Response:
        """Return the response packed, if the browser takes it and it is worth it."""
        is_text = response.mimetype in _PACKED_TYPES
        if response.status_code != 200 or request.method != "GET" or not is_text:
            return response
        response.vary.add("Accept-Encoding")
        taken = next((name for name in _PACKERS if name in request.accept_encodings), None)
        if taken is None:
            return response
        response.direct_passthrough = False
        held = self._packed.get((request.path, taken))
        if held is None:
            with self._packing:
                held = self._packed.setdefault((request.path, taken), _PACKERS[taken](response.get_data()))
        if len(held) >= _MIN_BYTES:
            response.call_on_close(getattr(response.response, "close", lambda: None))  # the file unread
            response.set_data(held)
            response.headers["Content-Encoding"] = taken
        return response
