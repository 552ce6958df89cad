"""The doctor: what it finds, and that each finding says what to do."""

import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from ingest import doctor
from ingest.doctor import Finding, examine
from ingest.radio import BluezAdapter
from ingest.records import Record
from ingest.settlement import Settlement
from ingest.spool import Spool
from store.clock import VirtualClock
from store.installation import Installation
from tests.influxd import InfluxServer


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend a machine without a say on its clock, on a recent Linux."""
    monkeypatch.setattr(doctor.shutil, "which", lambda _name: None)
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    monkeypatch.setattr(doctor.platform, "release", lambda: "6.18.4-generic")
    monkeypatch.setattr(doctor.platform, "version", lambda: "#1 SMP")
    monkeypatch.setattr(doctor, "SYNCHRONISED", Path("/nonexistent/synchronized"))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")


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


def test_the_token_of_a_gateway_need_not_read(
    installation: Installation, influx: InfluxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = influx.new_buckets()
    place = f"{influx.url}?org={influx.org}&bucket={bucket}"
    gateway = Installation(installation.home, installation.clock, store_url=place)
    for action, family, verdict in (("write", "raw", "ok"), ("read", "flags", "mend")):
        token = influx.new_token(action, f"{bucket}-{family}")
        monkeypatch.setenv("EVENKEEL_INFLUX_TOKEN", token)
        assert found(gateway, "store").verdict == verdict


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
    assert len(findings) == 11


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
        spool.settle(Settlement(quarantined=[(1, "no level")]))
    quarantined = found(installation, "spool")
    assert quarantined.seen == "0 frames wait for the store, 1 quarantined"
    assert str(path) in quarantined.advice


def test_a_spool_that_is_none(installation: Installation) -> None:
    installation.spool_path().write_bytes(b"this is no database" * 100)
    assert found(installation, "spool").verdict == "mend"


def test_a_spool_without_room_says_that_frames_are_lost(
    installation: Installation, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Spool(installation.spool_path(), clock) as spool:
        spool.put(Record("battery_level", "S001", "AA", clock.now_ns(), 0, b"\x64"))
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 1 << 62)
    spool_finding = found(installation, "spool")
    assert (spool_finding.verdict, spool_finding.seen.split(";")[0]) == ("mend", "no room on its disk")
    chosen = installation.settings.collector.model_copy(update={"spool_limit_mb": 0})
    monkeypatch.setattr(
        installation, "settings", installation.settings.model_copy(update={"collector": chosen})
    )
    assert found(installation, "spool").seen.startswith("full: ")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", "everybody paused"),
        ("S2\nS1 2100-01-01T00:00:00Z\n", "S1 paused until 2100-01-01T00:00:00Z, S2 paused"),
    ],
)
def test_a_pause_is_named(installation: Installation, text: str, seen: str) -> None:
    (installation.home / "pause").write_text(text)
    pause = found(installation, "pause")
    assert (pause.verdict, pause.seen) == ("note", seen)


def test_a_pause_file_that_is_damaged(installation: Installation) -> None:
    (installation.home / "pause").write_text("S1 tomorrow")
    assert found(installation, "pause").verdict == "mend"


@pytest.mark.parametrize(
    ("release", "version", "verdict"),
    [
        ("5.15.0-91-generic", "#101-Ubuntu SMP", "note"),
        ("6.1.0-20-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.85-1 (2024-04-11)", "note"),
        ("6.1.0-50-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-1 (2026-10-01)", "ok"),
        ("6.1.192", "#1 SMP", "ok"),
        ("6.8.8", "#1 SMP", "note"),
        ("6.10", "#1 SMP", "ok"),
        ("6.12.8+bpo", "#1 SMP", "ok"),
        ("7.0-rc1", "#1 SMP", "ok"),
    ],
)
def test_kernels_that_may_lose_polar_straps(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, release: str, version: str, verdict: str
) -> None:
    monkeypatch.setattr(doctor.platform, "release", lambda: release)
    monkeypatch.setattr(doctor.platform, "version", lambda: version)
    assert found(installation, "kernel").verdict == verdict


ONE, TWO = "00:1A:7D:DA:71:13", "00:1A:7D:DA:71:14"


@pytest.mark.parametrize(
    ("adapters", "wanted", "expected"),
    [
        ({ONE: True}, (), ("ok", f"{ONE} (hci0)", "")),
        ({ONE: True, TWO: False}, (), ("ok", f"{ONE} (hci0), {TWO} (hci1, off)", "")),
        ({ONE: False}, (), ("mend", f"{ONE} (hci0, off)", "rfkill unblock bluetooth")),
        ({ONE: True, TWO: False}, (TWO,), ("mend", "hci1, off", "power on")),
        ({ONE: True}, (TWO,), ("mend", f"{ONE} (hci0)", f"names {TWO}")),
    ],
)
def test_adapters_by_address(
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    adapters: dict[str, bool],
    wanted: tuple[str, ...],
    expected: tuple[str, str, str],
) -> None:
    verdict, seen, advice = expected
    known = {at: BluezAdapter(f"hci{n}", is_powered=on) for n, (at, on) in enumerate(adapters.items())}

    async def answer() -> dict[str, BluezAdapter]:
        return known

    monkeypatch.setattr(doctor, "bluez_adapters", answer)
    chosen = installation.settings.collector.model_copy(update={"adapters": wanted})
    monkeypatch.setattr(
        installation, "settings", installation.settings.model_copy(update={"collector": chosen})
    )
    bluetooth = found(installation, "bluetooth")
    assert bluetooth.verdict == verdict
    assert seen in bluetooth.seen
    assert advice in bluetooth.advice


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str]) -> None:
    """Let programs of this machine answer so; others are not there."""

    def run(words: tuple[str, ...], **_options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 0, stdout=answers[words[0]])

    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}" if name in answers else None)
    monkeypatch.setattr(doctor.subprocess, "run", run)


CHRONY = """Reference ID    : C0A80001 (192.168.0.1)
System time     : 0.000012345 seconds fast of NTP time
Leap status     : {}
"""


@pytest.mark.parametrize(
    ("answers", "verdict", "seen"),
    [
        ({"timedatectl": "yes\n"}, "ok", "synchronised"),
        ({"timedatectl": "no\n"}, "note", "not synchronised"),
        ({"timedatectl": "no", "chronyc": CHRONY.format("Normal")}, "ok", "0.000012345 seconds fast"),
        ({"timedatectl": "no", "chronyc": CHRONY.format("Not synchronised")}, "note", "not synchronised"),
        ({"chronyc": "506 Cannot talk to daemon"}, "note", "cannot tell"),
        ({}, "note", "cannot tell"),
    ],
)
def test_what_the_machine_says_of_its_clock(
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, str],
    verdict: str,
    seen: str,
) -> None:
    answering(monkeypatch, answers)
    clock = found(installation, "clock")
    assert clock.verdict == verdict
    assert seen in clock.seen


def test_timesyncd_leaves_a_mark(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "SYNCHRONISED", tmp_path)
    assert found(installation, "clock").verdict == "ok"


@pytest.mark.parametrize(
    ("said", "verdict"), [("bluetoothctl: 5.66\n", "ok"), ("bluetoothctl: 5.50", "mend"), ("?", "note")]
)
def test_the_version_of_bluez(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, said: str, verdict: str
) -> None:
    answering(monkeypatch, {"bluetoothctl": said})
    assert found(installation, "bluez").verdict == verdict


def test_a_machine_that_does_not_answer_about_its_clock(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_words, **_options) -> None:
        raise subprocess.TimeoutExpired("timedatectl", 5)

    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert found(installation, "clock").seen == "cannot tell whether it is synchronised"


def test_other_systems_are_not_judged_by_linux(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(doctor.platform, "release", lambda: "23.5.0")
    assert found(installation, "kernel").verdict == "ok"
    assert found(installation, "bluetooth").advice == "try: evenkeel scan"
