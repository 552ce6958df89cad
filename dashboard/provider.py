"""Sign-in through an identity provider: OpenID Connect, code flow with PKCE, by Authlib (extra `oidc`).

The provider says who somebody is (issuer and subject, which are never reused) and, where groups are mapped,
in which role. Whose data they see stays with evenkeel.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from flask import Flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from configs.settings import OidcSettings
from dashboard.gate import audit
from dashboard.routes import OIDC_PATH, OIDC_RETURN_PATH
from dashboard.shell import message_page
from dashboard.sign_in import enter
from dashboard.sources import Sources
from store.errors import ConfigError, RefusedError
from store.places import token_in
from store.registry.accounts import Role, User
from store.registry.registry import Registry

SECRET_VARIABLE, SECRET_FILE_VARIABLE = "EVENKEEL_OIDC_SECRET", "EVENKEEL_OIDC_SECRET_FILE"
_CLIENT = "evenkeel"
_SLOW_S = 10
"""A provider that does not answer by then is away."""


class _Client(Protocol):
    """What of Authlib's client is used."""

    def authorize_redirect(self, redirect_uri: str, **asked: str) -> ResponseReturnValue: ...
    def authorize_access_token(self, **asked: object) -> Mapping[str, Any]: ...


def install_provider(server: Flask, sources: Sources) -> None:
    """Add the ways through the provider; where none is set they do not exist.

    Raises
    ------
    ConfigError
        If one is set, and something that it needs is missing.
    """
    settings = sources.settings.oidc
    client = _client(server, sources) if settings.issuer else None
    back = f"{sources.settings.dashboard.public_url}{OIDC_RETURN_PATH}"

    def leave() -> ResponseReturnValue:
        if client is None:
            raise NotFound
        asked = {"acr_values": " ".join(settings.acr)} if settings.acr else {}
        try:
            return client.authorize_redirect(back, **asked)
        except _faults() as fault:
            return _refused(sources, "", f"the provider does not answer: {fault}", 503)

    def come_back() -> ResponseReturnValue:
        if client is None:
            raise NotFound
        return _come_back(sources, client)

    server.add_url_rule(OIDC_PATH, "oidc.leave", leave, methods=["GET"])
    server.add_url_rule(OIDC_RETURN_PATH, "oidc.come_back", come_back, methods=["GET"])


def _come_back(sources: Sources, client: _Client) -> ResponseReturnValue:
    """Let in whoever the provider vouches for, if they may come in."""
    name = ""
    try:
        claims = _claims(client.authorize_access_token(claims_options=_wanted(sources.settings.oidc)))
        name = str(claims.get(sources.settings.oidc.name_claim, ""))
        user = admitted(sources.registry, sources.settings.oidc, claims)
    except ConfigError as refused:
        return _refused(sources, name, str(refused), 403)
    except _faults() as fault:
        return _refused(sources, name, f"{type(fault).__name__}: {fault}", 403)
    return enter(sources, user, "identity provider")


def admitted(registry: Registry, settings: OidcSettings, claims: Mapping[str, Any]) -> User:
    """Return the user of whom the claims of a verified ID token speak; groups may make or change one.

    Raises
    ------
    RefusedError
        If they may not come in; says why.
    ConfigError
        If their name cannot be one here.
    """
    if settings.acr and claims.get("acr") not in settings.acr:
        raise RefusedError("the provider did not ask for the strong way of signing in")
    role = _role(settings, claims)
    if settings.roles and role is None:
        raise RefusedError("none of the groups opens evenkeel")
    issuer, subject = str(claims["iss"]), str(claims["sub"])
    user = registry.identities.user_of(issuer, subject)
    if user is None:
        user = _met(registry, str(claims.get(settings.name_claim, "")), role)
        registry.identities.bind(user, issuer, subject)
    return user if role in (None, user.role) else registry.accounts.set_role(user, role)


def _met(registry: Registry, name: str, role: Role | None) -> User:
    """Return the user of that name whom an administrator added, or add one whose group says the role."""
    held = next((user for user in registry.accounts.users() if user.name == name), None)
    if held is not None and held.is_disabled:
        raise RefusedError("the account is closed")
    if held is not None:
        return held
    if role is None:
        raise RefusedError("an administrator has not added this user")
    return registry.accounts.add_user(name, role, password=None, patients=[])


def _role(settings: OidcSettings, claims: Mapping[str, Any]) -> Role | None:
    """Return the role of the first mapped group that somebody is in."""
    held: object = claims.get(settings.role_claim, ())
    groups = [held] if isinstance(held, str) else cast("Sequence[object]", held)
    return next((role for group, role in settings.roles.items() if group in groups), None)


def _claims(token: Mapping[str, Any]) -> Mapping[str, Any]:
    claims: object = token.get("userinfo")
    if not isinstance(claims, Mapping) or not claims.get("sub"):  # pyright: ignore[reportUnknownMemberType]
        raise RefusedError("the provider sent no ID token")
    return cast("Mapping[str, Any]", claims)


def _wanted(settings: OidcSettings) -> Mapping[str, object]:
    return {
        "iss": {"essential": True, "value": settings.issuer},
        "aud": {"essential": True, "value": settings.client_id},
    }


def _refused(sources: Sources, name: str, reason: str, status: int) -> ResponseReturnValue:
    audit(sources, name, "sign-in", is_allowed=False, detail=f"identity provider: {reason}")
    said = "You could not be signed in this way. An administrator finds the reason in the audit log."
    return message_page("Not signed in", said), status


def _client(server: Flask, sources: Sources) -> _Client:
    settings = sources.settings.oidc
    if not sources.settings.dashboard.public_url:
        raise ConfigError(
            "oidc.issuer is set, and dashboard.public_url is not; needed is the address that people come "
            "back to"
        )
    try:
        from authlib.integrations.flask_client import OAuth  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            "oidc.issuer is set, and the extra that it needs is missing: pip install 'evenkeel[oidc]'"
        ) from None
    maker: Any = OAuth(server)
    maker.register(
        _CLIENT,
        client_id=settings.client_id,
        client_secret=_secret(),
        server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": settings.scope, "code_challenge_method": "S256", "default_timeout": _SLOW_S},
    )
    return cast("_Client", maker.create_client(_CLIENT))


def _secret() -> str:
    """Return the client's secret from the environment, or the file it names."""
    if named := os.environ.get(SECRET_FILE_VARIABLE):
        return token_in(Path(named))
    if held := os.environ.get(SECRET_VARIABLE):
        return held
    raise ConfigError(
        "oidc.issuer is set, and its client's secret is not; name the file that holds it in "
        f"{SECRET_FILE_VARIABLE}"
    )


def _faults() -> tuple[type[Exception], ...]:
    """Return what Authlib, its tokens and the way to the provider fail with."""
    from authlib.common.errors import AuthlibBaseError  # noqa: PLC0415 - an extra
    from joserfc.errors import JoseError  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415

    return (AuthlibBaseError, JoseError, RequestException, KeyError, ValueError)
