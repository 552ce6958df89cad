"""The files for running an InfluxDB: what they promise, without a Docker to try it."""

import re
from pathlib import Path

import pytest
import yaml

from store.influx_setup import ROLES, bucket_name
from store.places import DEFAULT_ORG, InfluxPlace, place_of

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def influxdb(compose) -> dict:
    return compose["services"]["influxdb"]


def test_it_is_the_official_image_of_the_version_we_test(influxdb):
    from tests.influxd import VERSION

    assert influxdb["image"] == f"influxdb:{VERSION.rsplit('.', 1)[0]}"


def test_it_listens_on_this_machine_only(influxdb):
    assert [port.split(":")[0] for port in influxdb["ports"]] == ["127.0.0.1"]


def test_no_secret_is_a_value(compose, influxdb):
    """Each is a file that the service is given and that lies in a folder git never sees."""
    named = {name: value for name, value in influxdb["environment"].items() if "/run/secrets/" in value}
    assert all(name.endswith("_FILE") for name in named)
    assert {value.removeprefix("/run/secrets/") for value in named.values()} == set(influxdb["secrets"])
    assert set(influxdb["secrets"]) == set(compose["secrets"])
    for secret in compose["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    plain = set(influxdb["environment"]) - set(named)
    assert not [name for name in plain if re.search("TOKEN|PASSWORD|KEY", name)]
    assert "deploy/secrets/" in (DEPLOY.parent / ".gitignore").read_text().splitlines()


def test_its_data_outlive_the_container_and_its_health_is_watched(compose, influxdb):
    assert (
        dict(volume.split(":")[::-1] for volume in influxdb["volumes"])["/var/lib/influxdb2"]
        in compose["volumes"]
    )
    assert influxdb["healthcheck"]["test"] == ["CMD", "influx", "ping"]


def test_it_sets_up_what_store_init_expects(influxdb):
    environment = influxdb["environment"]
    assert environment["DOCKER_INFLUXDB_INIT_ORG"] == DEFAULT_ORG
    assert environment["DOCKER_INFLUXDB_INIT_BUCKET"] == bucket_name(InfluxPlace("http://x"), "raw")


def test_the_readme_names_every_secret_role_and_a_url_that_works(compose):
    text = (DEPLOY / "README.md").read_text()
    for name in [*compose["secrets"], *ROLES]:
        assert name in text
    for url in re.findall(r"EVENKEEL_STORE_URL='(.*)'", text):
        assert isinstance(place_of(url, DEPLOY), InfluxPlace)


def test_the_proxies_offer_current_tls_only():
    nginx, caddy = (DEPLOY / "nginx.conf").read_text(), (DEPLOY / "Caddyfile").read_text()
    assert re.findall(r"ssl_protocols (.*);", nginx) == ["TLSv1.2 TLSv1.3"]
    assert re.findall(r"protocols (.*)", caddy) == ["tls1.2 tls1.3"]
    ciphers = re.findall(r"ssl_ciphers (.*);", nginx)[0].split(":")
    assert all(
        cipher.startswith("ECDHE-") and ("GCM" in cipher or "POLY1305" in cipher) for cipher in ciphers
    )


def test_the_proxies_tell_who_comes_and_take_no_visitors_word_for_it():
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in nginx
    assert "$proxy_add_x_forwarded_for" not in nginx
    assert "access_log off;" in nginx, "one-time links are secrets"


def test_the_service_starts_the_dashboard_with_few_rights():
    service = (DEPLOY / "evenkeel-dashboard.service").read_text()
    assert "evenkeel dashboard --workers 2" in service
    for right in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n", "UMask=0077"):
        assert right in service
