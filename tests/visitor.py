"""A browser without scripts, for tests of the gate and of the pages behind it."""

import re
import shutil

import pytest

from dashboard.app import create_app
from store.clock import VirtualClock
from store.installation import Installation
from tests.clinic import PASSWORD, PEOPLE, build_clinic

START_NS = 1_767_643_200_000_000_000  # 2026-01-05T20:00:00Z, as the clock fixture


class Visitor:
    """One browser without scripts."""

    def __init__(self, app, address: str = "10.0.0.1") -> None:
        self.app = app
        self.client = app.server.test_client()
        self.environ = {"REMOTE_ADDR": address}

    def get(self, path: str):
        return self.client.get(path, environ_overrides=self.environ, buffered=True)

    def post(self, path: str, **fields: str):
        return self.client.post(path, data=fields, environ_overrides=self.environ)

    def token(self, path: str = "/sign-in") -> str:
        return re.search(r'name="csrf_token" value="([^"]+)"', self.get(path).text)[1]

    def sign_in(self, name: str, password: str = PASSWORD):
        return self.post("/sign-in", username=name, password=password, csrf_token=self.token())

    def call(self, output: str, changed: list[str], *, with_token: bool = True, **values: object):
        body = callback_body(self.app, output, changed, values)
        headers = {}
        if with_token:
            self.get("/help")
            headers["X-CSRFToken"] = self.client.get_cookie("_csrf_token").value
        return self.client.post(
            "/_dash-update-component", json=body, headers=headers, environ_overrides=self.environ
        )


def callback_body(app, output: str, changed: list[str], values: dict[str, object]) -> dict:
    """What Dash's renderer would post for a callback of the app."""
    known = next(c for c in app._callback_list if c["output"].split("@")[0] == output)

    def filled(parts):
        return [part | {"value": values.get(f"{part['id']}.{part['property']}")} for part in parts]

    names = output.strip(".").split("...")
    outputs = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names]
    return {
        "output": known["output"],
        "outputs": outputs if output.startswith("..") else outputs[0],
        "inputs": filled(known["inputs"]),
        "state": filled(known["state"]),
        "changedPropIds": changed,
    }


def audited(app, action: str) -> list[tuple[str, str, bool]]:
    return [
        (e.actor, e.subject_id, e.is_allowed)
        for e in app.sources.registry.audit.entries()
        if e.action == action
    ]


@pytest.fixture(scope="session")
def clinic_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("clinic")
    build_clinic(home, VirtualClock(START_NS), PEOPLE[:2])
    return home


@pytest.fixture
def app(clinic_home, tmp_path, clock):
    shutil.copytree(clinic_home, tmp_path / "clinic")
    made = create_app(Installation(tmp_path / "clinic", clock))
    yield made
    made.sources.close()


@pytest.fixture
def visitor(app):
    return Visitor(app)
