"""What an InfluxDB says when it refuses, as sentences for whoever has to act."""

import json
import re
from dataclasses import dataclass
from typing import Any, cast

import urllib3

from store.errors import EvenkeelError, StoreAccessError, StoreUnavailableError

_DROPPED = re.compile(r"dropped=(\d+)")
_UNPARSABLE = "unable to parse '"
_FULL_DISK = "no space left on device"
_LONGEST_REASON = 200

# The client raises the errors of urllib3, and its own of the HTTP status.
_http_errors: Any = urllib3.exceptions


@dataclass(frozen=True, slots=True)
class Refusal:
    """A body of lines that the server took in part or not at all.

    Attributes
    ----------
    reason : str
        What it says of the first line that it did not take.
    refused : int
        How many lines it names; of the others nothing is known.
    """

    reason: str
    refused: int


def refusal_of(status: int, body: str) -> Refusal | None:
    """Return what an answer to a write says about its lines; None if it is about something else."""
    message = _message(body)
    if status == 400 and message.startswith(_UNPARSABLE):
        reason = message.split("\n", 1)[0].rsplit("': ", 1)[-1]
        return Refusal(_short(reason), message.count(_UNPARSABLE))
    if status == 422 and (dropped := _DROPPED.search(message)):
        reason = message.split("partial write: ", 1)[-1].rsplit(" dropped=", 1)[0]
        return Refusal(_short(reason), int(dropped.group(1)))
    if status == 413:
        return Refusal("the line is too long for the server", 0)
    return None


def answer_error(server: str, bucket: str, org: str, status: int, body: str) -> EvenkeelError:
    """Return the error that an HTTP answer other than success means."""
    message = _short(_message(body))
    if status == 401:
        return StoreAccessError(
            f"{server} does not know the token; needed is a valid one: check EVENKEEL_INFLUX_TOKEN or the "
            "file that EVENKEEL_INFLUX_TOKEN_FILE names, or make tokens with `evenkeel store init`"
        )
    if status == 403:
        return StoreAccessError(
            f"{server}: the token has no right to bucket {bucket} ({message}); needed is one that may: "
            "`evenkeel store init` makes one for each part"
        )
    if status == 404:
        return StoreAccessError(
            f"{server} has no such organisation or bucket ({message}; asked for {org}, {bucket}): check the "
            "store's URL, or make what is missing with `evenkeel store init`"
        )
    if _FULL_DISK in message:
        return StoreUnavailableError(
            f"The disk of {server} is full; needed is room there: free some, then restart InfluxDB, which "
            "may go on refusing otherwise"
        )
    if status in (429, 503):
        return StoreUnavailableError(f"{server} is overloaded ({status}: {message}); it is tried again")
    return StoreUnavailableError(f"{server} failed ({status}: {message}); see its log and its disk")


def statement_error(server: str, bucket: str, message: str) -> EvenkeelError:
    """Return the error that a failed query statement means."""
    if message.startswith(("database not found", "default retention policy not set")):
        return StoreAccessError(
            f"{server} has no bucket {bucket}, or the token has no right to read it: check the store's URL "
            "and token, or make what is missing with `evenkeel store init`"
        )
    return StoreUnavailableError(f"{server} could not answer ({_short(message)}); see the log of the server")


def transport_error(server: str, error: Exception, timeout_s: float) -> EvenkeelError:
    """Return the error that a failed connection means."""
    if isinstance(error, _http_errors.SSLError) or "SSLError" in str(error):
        return StoreAccessError(
            f"{server} cannot be trusted ({_certificate_reason(error)}); needed is a certificate for that "
            "name by a known authority: name the file of your own authority in SSL_CERT_FILE"
        )
    if isinstance(error, _http_errors.ConnectTimeoutError | _http_errors.NewConnectionError):
        return StoreUnavailableError(
            f"{server} cannot be reached; needed is a running InfluxDB: start it, or change store.url"
        )
    if isinstance(error, _http_errors.TimeoutError):
        return StoreUnavailableError(
            f"{server} did not answer within {timeout_s:g} s; it hangs or is overloaded: see its log"
        )
    return StoreUnavailableError(f"{server} broke off ({type(error).__name__}); it ended, or the network did")


def _message(body: str) -> str:
    try:
        return str(cast("dict[str, Any]", json.loads(body))["message"])
    except (ValueError, KeyError, TypeError):
        return body


def _short(text: str) -> str:
    text = " ".join(text.split())
    half = _LONGEST_REASON // 2  # the last words are the cause
    return text if len(text) <= _LONGEST_REASON else f"{text[:half]} ... {text[-half:]}"


def _certificate_reason(error: Exception) -> str:
    found = re.search(r"certificate verify failed: ([^(]+?) \(", str(error))
    return found.group(1) if found else "no TLS connection"
