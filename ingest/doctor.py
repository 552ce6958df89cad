"""What stands between this machine and collecting: each check with what to do."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ingest.spool_file import read_counts
from store.errors import EvenkeelError
from store.installation import Installation
from store.streams import RR_INTERVAL

Verdict = Literal["ok", "note", "mend"]

MIN_FREE_GB = 2.0
"""A month of one strap without a store takes under 1 GB of spool; twice that leaves room for the rest."""
KERNEL_WITH_STRAP_FIX = (6, 10)
"""From mid-2024. Distributions brought the fix to older kernels too, under numbers that do not tell."""
COMMAND_TIMEOUT_S = 5
"""Asking systemd for the clock takes milliseconds; a machine without it must not hang the doctor."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, how it stands, what was seen, and what to do if it is not ok."""

    what: str
    verdict: Verdict
    seen: str
    advice: str = ""


def examine(installation: Installation) -> list[Finding]:
    """Look at the installation and the machine; changes nothing but to make what a new installation lacks."""
    checks: list[Callable[[Installation], Finding]] = [
        _home, _disk, _store, _registry, _spool, _users, _bluetooth, _kernel, _host_clock
    ]  # fmt: skip
    findings: list[Finding] = []
    for check in checks:
        try:
            findings.append(check(installation))
        except (EvenkeelError, OSError) as error:
            findings.append(Finding(check.__name__.strip("_"), "mend", str(error)))
    return findings


def _home(installation: Installation) -> Finding:
    mode = installation.home.stat().st_mode & 0o777
    if mode & 0o077:
        advice = f"others can read it: chmod 700 {installation.home}"
        return Finding("home", "mend", f"{installation.home}, mode {mode:o}", advice)
    return Finding("home", "ok", str(installation.home))


def _disk(installation: Installation) -> Finding:
    free_gb = shutil.disk_usage(installation.home).free / 1e9
    if free_gb < MIN_FREE_GB:
        return Finding("disk", "mend", f"{free_gb:.1f} GB free", f"make room: {MIN_FREE_GB:g} GB needed")
    return Finding("disk", "ok", f"{free_gb:.0f} GB free")


def _store(installation: Installation) -> Finding:
    with installation.timeseries() as store:
        people = store.subjects(RR_INTERVAL)
    size_mb = (installation.home / "samples.sqlite").stat().st_size / 1e6
    return Finding("store", "ok", f"{size_mb:.0f} MB, beats of {len(people)} people")


def _registry(installation: Installation) -> Finding:
    with installation.registry() as registry:
        subjects, worn = registry.people.subjects(), registry.people.worn_now()
        broken = registry.audit.first_broken_seq()
    if broken is not None:
        advice = "the log was altered: keep a copy of registry.sqlite and find out who could write to it"
        return Finding("registry", "mend", f"audit log broken at entry {broken}", advice)
    if not worn:
        advice = "evenkeel scan, then evenkeel sensor pair ADDRESS --subject S"
        return Finding("registry", "note", f"{len(subjects)} people, no sensor paired", advice)
    return Finding("registry", "ok", f"{len(subjects)} people, {len(worn)} sensors worn")


def _spool(installation: Installation) -> Finding:
    path = installation.spool_path()
    if not path.exists():
        return Finding("spool", "ok", "nothing collected yet")
    counts = read_counts(path)
    seen = f"{counts.waiting_frames} frames wait for the store, {counts.quarantined_frames} quarantined"
    if counts.waiting_frames:
        return Finding("spool", "note", seen, "if no collector is running: evenkeel collect --drain")
    if counts.quarantined_frames:
        advice = f"a wearable sent what no specification allows; kept for a report in {path}"
        return Finding("spool", "note", seen, advice)
    return Finding("spool", "ok", seen)


def _users(installation: Installation) -> Finding:
    with installation.registry() as registry:
        users = registry.accounts.users()
    if not users:
        advice = "evenkeel user add NAME --role clinician --patients all"
        return Finding("users", "note", "nobody can sign in", advice)
    return Finding("users", "ok", f"{len(users)} can sign in")


def _bluetooth(_installation: Installation) -> Finding:
    if platform.system() != "Linux":
        return Finding("bluetooth", "note", f"{platform.system()}: not looked at", "try: evenkeel scan")
    adapters = sorted(path.name for path in Path("/sys/class/bluetooth").glob("hci*"))
    if not adapters:
        advice = "plug in a Bluetooth 4.0 (or newer) adapter; the demo and replay need none"
        return Finding("bluetooth", "note", "no adapter", advice)
    if not Path("/run/dbus/system_bus_socket").exists():
        advice = "install and start dbus and bluetooth: systemctl start bluetooth"
        return Finding("bluetooth", "mend", f"{', '.join(adapters)}, but no D-Bus", advice)
    return Finding("bluetooth", "ok", ", ".join(adapters))


def _kernel(_installation: Installation) -> Finding:
    release = platform.release()
    numbers = tuple(int(digits) for digits in re.findall(r"\d+", release)[:2])
    if platform.system() == "Linux" and numbers < KERNEL_WITH_STRAP_FIX:
        advice = "if Polar straps drop after 30 to 150 s, the kernel refuses what they ask for: update it"
        return Finding("kernel", "note", release, advice)
    return Finding("kernel", "ok", f"{platform.system()} {release}, Python {platform.python_version()}")


def _host_clock(_installation: Installation) -> Finding:
    asking = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    if shutil.which(asking[0]) is None:
        return Finding("clock", "note", "cannot tell whether it is synchronised", "let NTP or chrony keep it")
    try:
        said = subprocess.run(  # noqa: S603 - fixed words
            asking,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        ).stdout.strip()
    except subprocess.TimeoutExpired:
        said = ""
    if said != "yes":
        return Finding("clock", "note", f"synchronised: {said or 'unknown'}", "timedatectl set-ntp true")
    return Finding("clock", "ok", "synchronised")
