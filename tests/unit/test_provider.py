"""Sign-in through an identity provider, against one that runs here: who comes in, and who does not."""

import shutil
import time
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc.jwk import RSAKey

from configs.settings import OidcSettings
from dashboard.app import create_app
from store.errors import ConfigError
from store.installation import Installation
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, running_provider
from tests.visitor import Visitor, audited, clinic_home

__all__ = ["clinic_home"]

GROUPS = {"ward-clinicians": "clinician", "it": "admin"}
WREN = {"sub": "0001", "preferred_username": "wren", "groups": ["ward-clinicians", "choir"]}


@pytest.fixture(scope="module")
def running():
    # Authlib reads the machine's clock for `exp`: so does the provider.
    with running_provider(lambda: int(time.time())) as provider:  # noqa: TID251
        yield provider


@pytest.fixture
def provider(running):
    running.claims, running.changed, running.signing_key, running.is_away = dict(WREN), {}, None, False
    return running


@pytest.fixture
def open_app(provider, clinic_home, tmp_path, clock, monkeypatch):
    opened = []

    def make(*, groups: dict[str, str] | None = None, acr: tuple[str, ...] = ()):
        shutil.copytree(clinic_home, tmp_path / "clinic")
        monkeypatch.setenv("EVENKEEL_OIDC_SECRET", CLIENT_SECRET)
        installation = Installation(tmp_path / "clinic", clock)
        oidc = OidcSettings(issuer=provider.issuer, client_id=CLIENT_ID, roles=groups or {}, acr=acr)
        dashboard = installation.settings.dashboard.model_copy(update={"public_url": "http://localhost"})
        installation.settings = installation.settings.model_copy(
            update={"oidc": oidc, "dashboard": dashboard}
        )
        opened.append(create_app(installation))
        return opened[-1]

    yield make
    for app in opened:
        app.sources.close()


def go_through(visitor: Visitor, *, change=lambda back: back):
    """Follow the button to the provider and back."""
    left = visitor.get("/sign-in/oidc")
    assert left.status_code == 302
    back = requests.get(left.location, allow_redirects=False, timeout=5).headers["Location"]
    parts = urlsplit(change(back))
    return visitor.get(f"{parts.path}?{parts.query}")


def test_whoever_is_in_a_mapped_group_comes_in_with_its_role_and_no_patient(open_app, provider):
    app = open_app(groups=GROUPS)
    visitor = Visitor(app)
    assert "Sign in with your clinic" in visitor.get("/sign-in").text
    assert go_through(visitor).location == "/"
    user = app.sources.registry.accounts.user_named("wren")
    assert (user.role, user.sees_all) == ("clinician", False)
    assert visitor.get("/patient/V01").status_code == 404
    assert audited(app, "sign-in") == [("wren", "", True)]


def test_a_changed_group_changes_the_role_at_the_next_sign_in(open_app, provider):
    app = open_app(groups=GROUPS)
    go_through(Visitor(app))
    provider.claims["groups"] = "it"
    provider.claims["preferred_username"] = "wren-married"
    go_through(Visitor(app))
    assert app.sources.registry.accounts.user_named("wren").role == "admin"
    assert "wren-married" not in {user.name for user in app.sources.registry.accounts.users()}


def test_without_groups_an_administrator_adds_users_first(open_app, provider):
    app = open_app()
    assert go_through(Visitor(app)).status_code == 403
    app.sources.registry.accounts.add_user("wren", "lead", password=None, patients="all")
    assert go_through(Visitor(app)).location == "/"
    assert app.sources.registry.accounts.user_named("wren").role == "lead"


def refused(app, visitor: Visitor, **ways) -> str:
    answer = go_through(visitor, **ways)
    assert answer.status_code == 403
    assert visitor.get("/").location == "/sign-in"
    entry = app.sources.registry.audit.entries()[-1]
    assert (entry.action, entry.is_allowed) == ("sign-in", False)
    return entry.detail


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"aud": "another-client"}, "aud"),
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"groups": ["choir"]}, "none of the groups"),
        ({"groups": []}, "none of the groups"),
        ({"preferred_username": "lead"}, "signs in in another way"),
        ({"preferred_username": "../wren"}, "cannot be a user name"),
    ],
)
def test_a_token_that_says_something_else_lets_nobody_in(open_app, provider, changed, reason):
    provider.changed = changed
    app = open_app(groups=GROUPS)
    assert reason in refused(app, Visitor(app))


def test_a_token_signed_by_somebody_else_lets_nobody_in(open_app, provider):
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "one"})
    app = open_app(groups=GROUPS)
    assert "signature" in refused(app, Visitor(app)).lower()


def test_an_answer_to_another_browser_lets_nobody_in(open_app, provider):
    app = open_app(groups=GROUPS)
    assert (
        "state" in refused(app, Visitor(app), change=lambda back: back.replace("state=", "state=x")).lower()
    )
    left = Visitor(app).get("/sign-in/oidc")
    back = requests.get(left.location, allow_redirects=False, timeout=5).headers["Location"]
    thief = Visitor(app)
    assert thief.get(f"/sign-in/oidc/return?{urlsplit(back).query}").status_code == 403


def test_an_answer_is_used_once(open_app, provider):
    app = open_app(groups=GROUPS)
    seen = []
    visitor = Visitor(app)
    go_through(visitor, change=lambda back: seen.append(back) or back)
    again = visitor.get(f"/sign-in/oidc/return?{urlsplit(seen[0]).query}")
    assert again.status_code == 403


def test_a_weak_way_of_signing_in_is_not_enough_where_a_strong_one_is_asked_for(open_app, provider):
    app = open_app(groups=GROUPS, acr=("mfa",))
    asked = parse_qs(urlsplit(Visitor(app).get("/sign-in/oidc").location).query)
    assert asked["acr_values"] == ["mfa"]
    assert asked["code_challenge_method"] == ["S256"]
    assert "strong way" in refused(app, Visitor(app))
    provider.claims["acr"] = "mfa"
    assert go_through(Visitor(app)).location == "/"


def test_a_closed_account_stays_closed(open_app, provider):
    app = open_app(groups=GROUPS)
    go_through(Visitor(app))
    accounts = app.sources.registry.accounts
    accounts.disable(accounts.user_named("wren"))
    assert "closed" in refused(app, Visitor(app))


def test_a_provider_that_is_away_is_said(open_app, provider):
    provider.is_away = True
    app = open_app(groups=GROUPS)
    assert Visitor(app).get("/sign-in/oidc").status_code == 503


def test_without_a_provider_there_is_no_such_way(clinic_home, tmp_path, clock):
    shutil.copytree(clinic_home, tmp_path / "clinic")
    app = create_app(Installation(tmp_path / "clinic", clock))
    visitor = Visitor(app)
    assert {visitor.get(path).status_code for path in ("/sign-in/oidc", "/sign-in/oidc/return")} == {404}
    assert "Sign in with" not in visitor.get("/sign-in").text
    app.sources.close()


def test_what_is_missing_is_named(open_app, provider, monkeypatch, clinic_home, tmp_path, clock):
    installation = Installation(tmp_path / "bare", clock)
    oidc = OidcSettings(issuer=provider.issuer, client_id=CLIENT_ID)
    installation.settings = installation.settings.model_copy(update={"oidc": oidc})
    with pytest.raises(ConfigError, match="public_url"):
        create_app(installation)
    dashboard = installation.settings.dashboard.model_copy(update={"public_url": "https://localhost"})
    installation.settings = installation.settings.model_copy(update={"dashboard": dashboard})
    monkeypatch.delenv("EVENKEEL_OIDC_SECRET", raising=False)
    with pytest.raises(ConfigError, match="EVENKEEL_OIDC_SECRET_FILE"):
        create_app(installation)


@pytest.mark.parametrize("issuer", ["http://idp.example", "idp.example", "https://idp.example/?x"])
def test_issuers_that_cannot_be_trusted_are_no_settings(issuer):
    with pytest.raises(ValueError, match="issuer"):
        OidcSettings(issuer=issuer, client_id="x")
