"""The doctor: what it finds, and that each finding says what to do."""

import subprocess
from collections import namedtuple

import pytest

from ingest import doctor
from ingest.doctor import Finding, examine
from ingest.records import Record
from ingest.spool import Spool
from store.clock import VirtualClock
from store.installation import Installation


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend a machine without a say on its clock, on a recent Linux."""
    monkeypatch.setattr(doctor.shutil, "which", lambda _name: None)
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    monkeypatch.setattr(doctor.platform, "release", lambda: "6.18.4-generic")


def found(installation: Installation, what: str) -> Finding:
    (finding,) = [finding for finding in examine(installation) if finding.what == what]
    return finding


def test_a_new_installation_needs_people_and_users_but_no_mending(installation: Installation) -> None:
    findings = {finding.what: finding for finding in examine(installation)}
    assert findings["home"] == Finding("home", "ok", str(installation.home))
    assert findings["registry"].verdict == "note"
    assert "evenkeel sensor pair" in findings["registry"].advice
    assert "evenkeel user add" in findings["users"].advice
    assert findings["spool"] == Finding("spool", "ok", "nothing collected yet")
    ours = ("home", "store", "registry", "spool", "users")
    assert not [what for what in ours if findings[what].verdict == "mend"]


def test_all_that_is_not_well_comes_with_advice(installation: Installation) -> None:
    assert all(finding.advice for finding in examine(installation) if finding.verdict != "ok")


def test_a_home_that_others_can_read(installation: Installation) -> None:
    installation.home.chmod(0o755)
    home = found(installation, "home")
    assert (home.verdict, home.advice) == (
        "mend",
        f"others can read it: chmod 700 {installation.home}",
    )


def test_a_disk_that_is_nearly_full(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10**10, 10**10 - 10**9, 10**9)  # noqa: PYI024
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path: usage)
    disk = found(installation, "disk")
    assert (disk.verdict, disk.seen) == ("mend", "1.0 GB free")


@pytest.mark.parametrize(("name", "what"), [("samples.sqlite", "store"), ("registry.sqlite", "registry")])
def test_a_damaged_file_is_a_finding_and_the_rest_is_still_looked_at(
    installation: Installation, name: str, what: str
) -> None:
    (installation.home / name).write_bytes(b"this is no database" * 100)
    findings = {finding.what: finding for finding in examine(installation)}
    assert findings[what].verdict == "mend"
    assert len(findings) == 9


def test_people_and_sensors_are_counted(installation: Installation) -> None:
    with installation.registry() as registry:
        registry.people.add_subject("S001", "UTC")
        registry.people.pair("C0:11:22:33:44:55", "S001")
        registry.accounts.add_user("wren", "clinician", password=None, patients="all")
    assert found(installation, "registry") == Finding("registry", "ok", "1 people, 1 sensors worn")
    assert found(installation, "users").verdict == "ok"


def test_frames_that_wait_or_cannot_be_read(installation: Installation, clock: VirtualClock) -> None:
    path = installation.spool_path()
    with Spool(path, clock) as spool:
        spool.put(Record("battery_level", "S001", "AA", clock.now_ns(), 0, b"\xff"))
    waiting = found(installation, "spool")
    assert waiting.verdict == "note"
    assert waiting.seen == "1 frames wait for the store, 0 quarantined"
    assert "collect --drain" in waiting.advice
    with Spool(path, clock) as spool:
        spool.quarantine([(1, "no level")])
    quarantined = found(installation, "spool")
    assert quarantined.seen == "0 frames wait for the store, 1 quarantined"
    assert str(path) in quarantined.advice


def test_a_spool_that_is_none(installation: Installation) -> None:
    installation.spool_path().write_bytes(b"this is no database" * 100)
    assert found(installation, "spool").verdict == "mend"


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("5.15.0-91-generic", "note"),
        ("6.1.0-20-amd64", "note"),
        ("6.8.8", "note"),
        ("6.10", "ok"),
        ("6.12.8+bpo", "ok"),
        ("7.0-rc1", "ok"),
    ],
)
def test_kernels_that_may_lose_polar_straps(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, release: str, verdict: str
) -> None:
    monkeypatch.setattr(doctor.platform, "release", lambda: release)
    assert found(installation, "kernel").verdict == verdict


@pytest.mark.parametrize(("said", "verdict"), [("yes\n", "ok"), ("no\n", "note"), ("", "note")])
def test_what_the_machine_says_of_its_clock(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, said: str, verdict: str
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    done = subprocess.CompletedProcess([], 0, stdout=said)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_words, **_options: done)
    assert found(installation, "clock").verdict == verdict


def test_a_machine_that_does_not_answer_about_its_clock(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_words, **_options) -> None:
        raise subprocess.TimeoutExpired("timedatectl", 5)

    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert found(installation, "clock").seen == "synchronised: unknown"


def test_other_systems_are_not_judged_by_linux(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(doctor.platform, "release", lambda: "23.5.0")
    assert found(installation, "kernel").verdict == "ok"
    assert found(installation, "bluetooth").advice == "try: evenkeel scan"
