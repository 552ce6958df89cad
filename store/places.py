"""Which store: from a URL to an open store, and where its token comes from.

`sqlite:///samples.sqlite` is a file of the installation, `sqlite:////var/lib/samples.sqlite` any file,
`https://host:8086?org=clinic&bucket=evenkeel` an InfluxDB 2. A token is never part of a URL.
"""

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from store.errors import ConfigError
from store.sqlite import SqliteTimeSeries
from store.timeseries import TimeSeriesStore

TOKEN_VARIABLE = "EVENKEEL_INFLUX_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE_VARIABLE = "EVENKEEL_INFLUX_TOKEN_FILE"  # noqa: S105
DEFAULT_ORG = "evenkeel"
DEFAULT_BUCKET = "evenkeel"
_FILE_SCHEME = "sqlite:///"
_POSTGRESQL = "postgresql+psycopg"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class FilePlace:
    """An embedded store."""

    path: Path

    def __str__(self) -> str:
        return f"{_FILE_SCHEME}{self.path}"


@dataclass(frozen=True, slots=True)
class InfluxPlace:
    """An InfluxDB 2.

    Attributes
    ----------
    url : str
        Scheme, host and port.
    org : str
    bucket : str
        What the names of its buckets begin with.
    """

    url: str
    org: str = DEFAULT_ORG
    bucket: str = DEFAULT_BUCKET

    def __str__(self) -> str:
        return f"{self.url}?{urlencode({'org': self.org, 'bucket': self.bucket})}"

    @property
    def is_in_clear(self) -> bool:
        """Whether tokens and samples cross a network unencrypted."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname not in _LOOPBACK


Place = FilePlace | InfluxPlace


def place_of(url: str, home: Path) -> Place:
    """Return the place of samples that a URL names; a file without a leading slash is in `home`.

    Raises
    ------
    ConfigError
        If it names none. The message repeats no part of the URL that may be secret.
    """
    if url.startswith(_FILE_SCHEME) and url != _FILE_SCHEME:
        return FilePlace(_file(url, home))
    parts = _split(url, "store's")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"The store's URL begins with {parts.scheme or 'no scheme'!r}; needed is sqlite:///FILE or "
            "http(s)://HOST:8086?org=ORG&bucket=PREFIX; change store.url or EVENKEEL_STORE_URL"
        )
    asked = dict(parse_qsl(parts.query))
    unknown = sorted(set(asked) - {"org", "bucket"})
    if unknown or parts.path not in ("", "/") or parts.username is not None or parts.fragment:
        raise ConfigError(
            f"The URL of the store on {parts.hostname} has more than scheme, host, port, org and bucket"
            f"{f' ({unknown[0]})' if unknown else ''}; take the rest out. A token is never part of a URL: it "
            f"comes from {TOKEN_VARIABLE} or a file named by {TOKEN_FILE_VARIABLE}"
        )
    org, bucket = asked.get("org", DEFAULT_ORG), asked.get("bucket", DEFAULT_BUCKET)
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"The store's URL has the bucket prefix {bucket!r}; needed are letters, digits, '-' and '_'"
        )
    return InfluxPlace(f"{parts.scheme}://{parts.netloc}", org, bucket)


def open_place(
    place: Place, token: str | None = None, *, answer_timeout_s: float | None = None
) -> TimeSeriesStore:
    """Open a store of samples.

    Parameters
    ----------
    token : str, optional
        Of an InfluxDB; by default what the environment names.
    answer_timeout_s : float, optional
        How long an InfluxDB may be silent; 30 s by default.

    Raises
    ------
    HomeError
        If the file cannot be used.
    ConfigError
        If there is no token.
    """
    if isinstance(place, FilePlace):
        return SqliteTimeSeries(place.path)
    # Its client takes half a second to import.
    from store.influx import ANSWER_TIMEOUT_S, InfluxTimeSeries  # noqa: PLC0415

    return InfluxTimeSeries(
        place.url,
        org=place.org,
        token=token or environment_token(os.environ),
        bucket=place.bucket,
        answer_timeout_s=answer_timeout_s or ANSWER_TIMEOUT_S,
    )


def registry_place(url: str, home: Path) -> Path | str:
    """Return the file, or the database URL, that a registry's URL names.

    Raises
    ------
    ConfigError
        If it names none; the message repeats nothing of the URL but its scheme.
    """
    if url.startswith(_FILE_SCHEME) and url != _FILE_SCHEME:
        return _file(url, home)
    return _checked_postgresql(url)


def password_free(url: str) -> str:
    """Return a PostgreSQL URL that came from a command line, where everybody on the machine can read it.

    Raises
    ------
    ConfigError
        If it holds a password, or is none.
    """
    if _split(url, "registry's").password is not None:
        raise ConfigError(
            "The registry's URL holds a password, and everybody on this machine can read command lines; take "
            "it out: PostgreSQL finds it in the file that PGPASSFILE names"
        )
    return _checked_postgresql(url)


def environment_token(environment: Mapping[str, str]) -> str:
    """Return the token that the environment holds, or that of the file it names.

    Raises
    ------
    ConfigError
        If it names none, or a file that others can read.
    """
    if token := environment.get(TOKEN_VARIABLE, "").strip():
        return token
    if named := environment.get(TOKEN_FILE_VARIABLE):
        return token_in(Path(named))
    raise ConfigError(
        f"An InfluxDB needs a token: name the file that holds it in {TOKEN_FILE_VARIABLE}; "
        "`evenkeel store init` makes one for each part"
    )


def token_in(path: Path) -> str:
    """Return the token that a file holds.

    Raises
    ------
    ConfigError
        If it cannot be read, is empty, or others than its owner and group can read it.
    """
    try:
        mode = path.stat().st_mode & 0o777
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"The token file {path} cannot be read: {reason}") from None
    if mode & 0o007:
        raise ConfigError(
            f"The token file {path} can be used by everybody on this machine (mode {mode:o}); needed is 600 "
            f"or 640: chmod 600 {path}"
        )
    if not token or len(token.split()) > 1:
        raise ConfigError(f"The token file {path} holds no token; needed is one line with nothing else")
    return token


def _checked_postgresql(url: str) -> str:
    scheme = _split(url, "registry's").scheme
    if scheme != _POSTGRESQL:
        raise ConfigError(
            f"The registry's URL begins with {scheme or 'no scheme'!r}; needed is sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/DATABASE; change registry.url or EVENKEEL_REGISTRY_URL"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigError(
            "A registry in PostgreSQL needs its driver, which is not here: pip install 'evenkeel[postgresql]'"
        )
    return url


def _file(url: str, home: Path) -> Path:
    return home / Path(url.removeprefix(_FILE_SCHEME)).expanduser()


def _split(url: str, whose: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # checked only when it is asked for
    except ValueError:
        raise ConfigError(f"The {whose} URL is none; see docs/store.md for examples") from None
    return parts
