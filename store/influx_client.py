"""One InfluxDB 2 as HTTP: bodies of lines in, answers to InfluxQL out, through the official client's session.

Nothing is tried twice here: whoever writes knows how long its samples can wait, whoever reads can ask again.
"""

import gzip
import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

import influxdb_client
import urllib3
from influxdb_client.rest import ApiException

from store.errors import StoreUnavailableError
from store.influx_errors import Refusal, answer_error, refusal_of, statement_error, transport_error

CONNECT_TIMEOUT_S = 10.0
"""Three lost packets take 7 s. It also bounds the sending of one body: half a megabyte, compressed, which an
uplink of 0.5 Mbit/s just carries."""

ANSWER_TIMEOUT_S = 30.0
"""The longest silence. The server itself gives a write up after 10 s, and an answer comes in pieces."""

_GZIP_LEVEL = 1
"""A seventh of the bytes or fewer, packed three times as fast as the server takes them; level 6 saves an
eighth of those at half the speed."""

_CHUNK_ROWS = 4_000
"""Of a long answer: the server makes a piece while the one before is read; 10,000 take a tenth longer."""
# The client's annotations do not hold (`timeout: int` also takes a pair).
_influx: Any = cast("Any", influxdb_client)


class InfluxConnection:
    """Requests to one server and organisation. May be used from several threads.

    Parameters
    ----------
    url : str
        Scheme, host and port. Certificates are verified, against SSL_CERT_FILE if the environment has it.
    org, token : str
    answer_timeout_s : float
    """

    def __init__(self, url: str, org: str, token: str, answer_timeout_s: float) -> None:
        self._server = f"InfluxDB at {url}"
        self._org = org
        self._answer_timeout_s = answer_timeout_s
        self._is_gzipped = not _is_loopback(url)
        self._client: Any = _influx.InfluxDBClient(
            url=url,
            token=token,
            org=org,
            timeout=(1e3 * CONNECT_TIMEOUT_S, 1e3 * answer_timeout_s),
            retries=False,
        )
        self._in_use = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def __repr__(self) -> str:
        return f"<{self._server}>"

    def write(self, bucket: str, text: bytes) -> Refusal | None:
        """Write lines; durable when it returns. Return what the server did not take, None if it took all.

        Raises
        ------
        StoreUnavailableError
            If it cannot be reached or fails; any part may be stored.
        StoreAccessError
            If it does not let us; nothing was stored.
        """
        headers = {"Content-Type": "text/plain; charset=utf-8", "Accept": "application/json"}
        if self._is_gzipped:
            text, headers["Content-Encoding"] = gzip.compress(text, _GZIP_LEVEL), "gzip"
        query = {"org": self._org, "bucket": bucket, "precision": "ns"}
        try:
            with self._request("/api/v2/write", "POST", query, headers, text) as answer:
                answer.read()
        except ApiException as error:
            status, body = _status_and_body(error)
            if refusal := refusal_of(status, body):
                return refusal
            raise answer_error(self._server, bucket, self._org, status, body) from None
        return None

    def delete(self, bucket: str, predicate: str, start: str, stop: str) -> None:
        """Remove the points of a bucket that a predicate holds for, from `start` until before `stop`.

        Raises
        ------
        StoreUnavailableError, StoreAccessError
        """
        body = {"start": start, "stop": stop, "predicate": predicate}
        query = {"org": self._org, "bucket": bucket}
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        try:
            with self._request("/api/v2/delete", "POST", query, headers, body) as answer:
                answer.read()
        except ApiException as error:
            raise answer_error(self._server, bucket, self._org, *_status_and_body(error)) from None

    def rows(self, bucket: str, query: str, parameters: Mapping[str, str | int]) -> list[dict[str, Any]]:
        """Return a small answer: a list of series with `tags` and `values`, times as int nanoseconds.

        Raises
        ------
        StoreUnavailableError, StoreAccessError
        """
        with self._answer(bucket, query, parameters, "application/json", is_chunked=False) as answer:
            result = json.loads(answer.read())["results"][0]
        if "error" in result:
            raise statement_error(self._server, bucket, result["error"])
        return result.get("series", [])

    @contextmanager
    def table(self, bucket: str, query: str, parameters: Mapping[str, str | int]) -> Generator[Any]:
        """Lend a long answer as a binary file of CSV, as it arrives.

        As CSV a statement that fails leaves no trace, and half an answer looks like a whole one. So a second
        statement follows; the server stops at the first error, and its answer proves that all came before.

        Raises
        ------
        StoreUnavailableError, StoreAccessError
        """
        proof = f"{query}; SHOW DATABASES"
        with self._answer(bucket, proof, parameters, "application/csv", is_chunked=True) as answer:
            yield answer

    def broke_off(self, bucket: str) -> StoreUnavailableError:
        """Return the error of a long answer that lacks its proof."""
        return StoreUnavailableError(
            f"{self._server} could not answer all of a query to bucket {bucket}; see the log of the server"
        )

    def close(self) -> None:
        """Close, once nobody uses it; whoever comes later is refused."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._in_use)
        self._client.close()

    @contextmanager
    def held_open(self) -> Generator[None]:
        """Keep the connection from being closed for as long as a read or write needs.

        Raises
        ------
        StoreUnavailableError
            If it is closed.
        """
        with self._changed:
            if self._is_closed:
                raise StoreUnavailableError(f"The connection to {self._server} was closed")
            self._in_use += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    @contextmanager
    def _answer(
        self, bucket: str, query: str, parameters: Mapping[str, str | int], form: str, *, is_chunked: bool
    ) -> Generator[Any]:
        asked = {"db": bucket, "epoch": "ns", "q": query, "params": json.dumps(parameters)}
        if is_chunked:
            asked |= {"chunked": "true", "chunk_size": _CHUNK_ROWS}
        try:
            with self._request("/query", "GET", asked, {"Accept": form}) as answer:
                yield answer
        except ApiException as error:
            raise answer_error(self._server, bucket, self._org, *_status_and_body(error)) from None

    @contextmanager
    def _request(
        self,
        path: str,
        method: str,
        query: Mapping[str, Any],
        headers: Mapping[str, str],
        body: bytes | Mapping[str, str] | None = None,
    ) -> Generator[Any]:
        """Lend the answer to a request; its connection is used again if all of it was read."""
        answer: Any = None
        try:
            answer = self._client.api_client.call_api(
                path,
                method,
                query_params=dict(query),
                header_params=dict(headers),  # the client adds the token to it
                body=body,  # bytes as they are, a mapping as JSON
                _preload_content=False,
                _return_http_data_only=True,
            )
            yield answer
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise transport_error(self._server, error, self._answer_timeout_s) from None
        except ApiException as error:
            if not _status(error):  # the client's way to say that TLS failed
                raise transport_error(self._server, error, self._answer_timeout_s) from None
            raise
        finally:
            if answer is not None:
                answer.close()


def _status(error: ApiException) -> int:
    return int(cast("Any", error).status or 0)


def _status_and_body(error: ApiException) -> tuple[int, str]:
    body = cast("Any", error).body or b""
    return _status(error), body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
