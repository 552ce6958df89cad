"""Make what evenkeel needs on an InfluxDB 2: organisation, buckets with retention, a token for each part.

Running it again makes only what is missing and applies changed retention.

A token may do what its part does and no more. A gateway stands in somebody's home: it writes samples and
reads nothing, so that a stolen one gives nobody's data away. Jobs read samples and write markers and flags.
The dashboard reads. The operator's token reads and writes all three buckets, for copies, backups, replays
and the demonstration; only the administrator's can make buckets and tokens, and only this module uses it.
"""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import influxdb_client
import urllib3
from influxdb_client.rest import ApiException

from store.errors import ConfigError, StoreUnavailableError
from store.places import InfluxPlace, token_in
from store.streams import FAMILIES, Family

Grant = tuple[Literal["read", "write"], Family]
ROLES: Mapping[str, frozenset[Grant]] = {
    "gateway": frozenset({("write", "raw")}),
    "jobs": frozenset(
        {
            ("read", "raw"),
            ("read", "features"),
            ("write", "features"),
            ("read", "flags"),
            ("write", "flags"),
        }
    ),
    "dashboard": frozenset({("read", "raw"), ("read", "features"), ("read", "flags")}),
    "operator": frozenset((action, family) for action in ("read", "write") for family in FAMILIES),
}
ADMIN_FILE = "influx-admin.token"
_ADMIN_USER = "evenkeel"
_TOKEN_BYTES = 48
_TIMEOUT_MS = 30_000
"""Making a bucket takes milliseconds; a server that needs half a minute is stuck."""
_DAY_S = 86_400
_influx: Any = cast("Any", influxdb_client)  # its annotations do not hold (`x: str = None`)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an InfluxDB has now.

    Attributes
    ----------
    made : tuple of str
        What was not there before, or was changed; empty if all was as it should be.
    token_files : mapping of role to Path
    """

    made: tuple[str, ...]
    token_files: Mapping[str, Path]


def prepare_influx(
    place: InfluxPlace,
    folder: Path,
    retention_days: Mapping[Family, int],
    admin_token_file: Path | None = None,
) -> Prepared:
    """Bring an InfluxDB to the state that evenkeel needs.

    Parameters
    ----------
    folder : Path
        Where token files are, and are made: readable by their owner only.
    retention_days : mapping of family to int
        0 keeps for ever.
    admin_token_file : Path, optional
        Token of an administrator, for a server that was set up by somebody else.

    Raises
    ------
    StoreUnavailableError
        If the server cannot be reached.
    ConfigError
        If it does not let us, or there is no administrator's token for it.
    """
    admin_file = admin_token_file or folder / ADMIN_FILE
    made: list[str] = []
    if _explained(place, lambda: _is_fresh(place)):
        _explained(place, lambda: _set_up(place, admin_file, retention_days["raw"]))
        made.append(f"organisation {place.org}, administrator's token in {admin_file}")
    elif not admin_file.exists():
        raise ConfigError(
            f"{place.url} was set up before, and {admin_file} is not there; needed is a token that may make "
            "buckets and tokens: name its file with --admin-token-file"
        )
    with _client(place, token_in(admin_file)) as client:
        return _explained(place, lambda: _complete(client, place, folder, retention_days, made))


def bucket_name(place: InfluxPlace, family: Family) -> str:
    """Return the name of a bucket."""
    return f"{place.bucket}-{family}"


def _is_fresh(place: InfluxPlace) -> bool:
    with _client(place, "none") as client:
        return bool(_influx.SetupService(client.api_client).get_setup().allowed)


def _set_up(place: InfluxPlace, admin_file: Path, raw_days: int) -> None:
    # Kept before it is used: an administrator's token that nobody knows cannot be had back. Without a
    # password nobody can sign in to the server's own pages.
    token = token_in(admin_file) if admin_file.exists() else keep_token(admin_file, _fresh_token())
    asked = _influx.OnboardingRequest(
        username=_ADMIN_USER,
        org=place.org,
        bucket=bucket_name(place, "raw"),
        retention_period_seconds=raw_days * _DAY_S,
        token=token,
    )
    with _client(place, token) as client:
        _influx.SetupService(client.api_client).post_setup(onboarding_request=asked)


def _complete(
    client: Any,  # noqa: ANN401
    place: InfluxPlace,
    folder: Path,
    retention_days: Mapping[Family, int],
    made: list[str],
) -> Prepared:
    org_id = _organisation(client, place, made)
    buckets = {
        family: _bucket(client, bucket_name(place, family), org_id, retention_days[family], made)
        for family in FAMILIES
    }
    known = {held.token: held for held in client.authorizations_api().find_authorizations(org_id=org_id)}
    files: dict[str, Path] = {}
    for role, grants in ROLES.items():
        files[role] = folder / f"influx-{role}.token"
        wanted = {(action, buckets[family]) for action, family in grants}
        held = known.get(token_in(files[role])) if files[role].exists() else None
        if held is None or held.status != "active" or _granted(held) != wanted:
            keep_token(files[role], _authorise(client, org_id, f"evenkeel {role}", wanted))
            made.append(f"token of the {role}")
            if held is not None:
                client.authorizations_api().delete_authorization(held)
    return Prepared(tuple(made), files)


def _organisation(client: Any, place: InfluxPlace, made: list[str]) -> str:  # noqa: ANN401
    api = client.organizations_api()
    for organisation in api.find_organizations(limit=100):
        if organisation.name == place.org:
            return organisation.id
    made.append(f"organisation {place.org}")
    return api.create_organization(name=place.org).id


def _bucket(client: Any, name: str, org_id: str, days: int, made: list[str]) -> str:  # noqa: ANN401
    api = client.buckets_api()
    wanted_s = days * _DAY_S
    for bucket in api.find_buckets_iter(org_id=org_id):  # a search by name ends in an error if there is none
        if bucket.name != name:
            continue
        if sum(rule.every_seconds for rule in bucket.retention_rules) != wanted_s:
            bucket.retention_rules = [_influx.BucketRetentionRules(type="expire", every_seconds=wanted_s)]
            api.update_bucket(bucket)
            made.append(f"retention of bucket {name}: {f'{days} days' if days else 'for ever'}")
        return bucket.id
    made.append(f"bucket {name}")
    rule = _influx.BucketRetentionRules(type="expire", every_seconds=wanted_s)
    return api.create_bucket(bucket_name=name, org=org_id, retention_rules=rule).id


def _granted(held: Any) -> set[tuple[str, str]]:  # noqa: ANN401
    return {(permission.action, permission.resource.id) for permission in held.permissions}


def _authorise(client: Any, org_id: str, description: str, wanted: set[tuple[str, str]]) -> str:  # noqa: ANN401
    permissions = [
        _influx.Permission(
            action=action,
            resource=_influx.PermissionResource(type="buckets", id=bucket_id, org_id=org_id),
        )
        for action, bucket_id in sorted(wanted)
    ]
    asked = _influx.Authorization(org_id=org_id, permissions=permissions, description=description)
    return client.authorizations_api().create_authorization(authorization=asked).token


def keep_token(path: Path, token: str) -> str:
    """Write a token to a file that only its owner may read, whole or not at all; return it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return token


def _fresh_token() -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)


def _client(place: InfluxPlace, token: str) -> Any:  # noqa: ANN401
    return _influx.InfluxDBClient(
        url=place.url, token=token, org=place.org, timeout=_TIMEOUT_MS, retries=False
    )


def _explained(place: InfluxPlace, ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except ApiException as error:
        status = cast("Any", error).status
        if status in (401, 403):
            raise ConfigError(
                f"{place.url} refuses the administrator's token ({status}); needed is one that may make "
                "buckets and tokens: name its file with --admin-token-file"
            ) from None
        raise StoreUnavailableError(
            f"{place.url} could not be prepared (status {status}); see the server's log, then run it again"
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise StoreUnavailableError(
            f"{place.url} cannot be reached ({type(error).__name__}); start the server or change store.url"
        ) from None
