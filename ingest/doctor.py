"""What stands between this machine and collecting: each check with what to do."""

import asyncio
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ingest.pauses import EVERYBODY, PAUSE_FILE, read_pauses
from ingest.radio import BLEAK_FAILURES, BluezAdapter, bluez_adapters
from ingest.spool import LEAST_FREE_BYTES
from ingest.spool_file import read_counts
from store.errors import EvenkeelError, StoreAccessError
from store.installation import Installation
from store.streams import RR_INTERVAL
from store.times import iso_time

Verdict = Literal["ok", "note", "mend"]

MIN_FREE_GB = 2.0
"""A month of one strap without a store takes under 1 GB of spool; twice that leaves room for the rest."""
KERNELS_WITH_STRAP_FIX = ((6, 10, 0), (6, 1, 192))
"""Linux 6.8 and stable releases of spring 2024 (commit e4b019515f95) refuse connection intervals of 312 to
500 ms, which Polar straps ask for; 6.10 does not. 6.1.192 was tried and accepts up to 4 s. In other stable
releases the number does not tell."""
OLDEST_BLUEZ = (5, 55)
"""Bleak 3 refuses older ones."""
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
"""Made by systemd-timesyncd once it has set the clock; readable by anybody."""
COMMAND_TIMEOUT_S = 5
"""Asking for a version takes milliseconds; a machine that hangs must not hang the doctor."""


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
        _home, _disk, _store, _registry, _spool, _pause, _users, _bluetooth, _bluez, _kernel, _host_clock
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
    """Ask the store something: whether it can be reached, and lets this user in."""
    place = installation.store_place()
    with installation.timeseries() as store:
        try:
            people = store.subjects(RR_INTERVAL)
        except StoreAccessError:
            store.write([])  # raises unless it is a gateway's token, which may do this alone
            return Finding("store", "ok", f"{place}, may be written and not read, as from a gateway")
    return Finding("store", "ok", f"{place}, beats of {len(people)} people")


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
    used_mb = sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*")) / 1e6
    limit_mb = installation.settings.collector.spool_limit_mb
    seen = f"{counts.waiting_frames} frames wait for the store, {counts.quarantined_frames} quarantined"
    if counts.waiting_frames and used_mb >= limit_mb:
        advice = "new frames are lost: bring the store back (evenkeel store check), or raise spool_limit_mb"
        return Finding("spool", "mend", f"full: {used_mb:.0f} of {limit_mb} MB; {seen}", advice)
    if shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES:
        advice = "new frames are lost: make room on the disk; the collector goes on by itself"
        return Finding("spool", "mend", f"no room on its disk; {seen}", advice)
    if counts.waiting_frames:
        return Finding("spool", "note", seen, "if no collector is running: evenkeel collect --drain")
    if counts.quarantined_frames:
        advice = f"a wearable sent what no specification allows; kept for a report in {path}"
        return Finding("spool", "note", seen, advice)
    return Finding("spool", "ok", seen)


def _pause(installation: Installation) -> Finding:
    pauses = read_pauses(installation.home / PAUSE_FILE).holding(installation.clock.now_ns())
    if not pauses.until_ns:
        return Finding("pause", "ok", "nobody")
    told = [
        f"{'everybody' if who == EVERYBODY else who} paused{'' if end is None else f' until {iso_time(end)}'}"
        for who, end in sorted(pauses.until_ns.items())
    ]
    return Finding(
        "pause", "note", ", ".join(told), "nothing is collected of them; to end it: evenkeel resume"
    )


def _users(installation: Installation) -> Finding:
    with installation.registry() as registry:
        users = registry.accounts.users()
    if not users:
        advice = "evenkeel user add NAME --role clinician --patients all"
        return Finding("users", "note", "nobody can sign in", advice)
    return Finding("users", "ok", f"{len(users)} can sign in")


def _bluetooth(installation: Installation) -> Finding:
    """Look for adapters, and whether this user may use them."""
    if platform.system() != "Linux":
        return Finding("bluetooth", "note", f"{platform.system()}: not looked at", "try: evenkeel scan")
    try:
        known = asyncio.run(bluez_adapters())
    except BLEAK_FAILURES:
        known = {}
    if known:
        return _adapters(known, installation.settings.collector.adapters)
    plugged_in = sorted(path.name for path in Path("/sys/class/bluetooth").glob("hci*"))
    if not plugged_in:
        advice = "plug in a Bluetooth 4.0 (or newer) adapter; the demo and replay need none"
        return Finding("bluetooth", "note", "no adapter", advice)
    if not Path("/run/dbus/system_bus_socket").exists():
        advice = "install and start dbus and bluetooth: systemctl start bluetooth"
        return Finding("bluetooth", "mend", f"{', '.join(plugged_in)}, but no D-Bus", advice)
    advice = (
        "start the Bluetooth service (systemctl start bluetooth); if it runs, the D-Bus policy keeps this "
        "user out: usermod -aG bluetooth USER, then sign in again"
    )
    return Finding("bluetooth", "mend", f"{', '.join(plugged_in)}, but BlueZ does not answer", advice)


def _adapters(known: dict[str, BluezAdapter], wanted: tuple[str, ...]) -> Finding:
    seen = ", ".join(
        f"{address} ({of.hci}{'' if of.is_powered else ', off'})" for address, of in sorted(known.items())
    )
    if missing := [address for address in wanted if address not in known]:
        advice = f"collector.adapters names {', '.join(missing)}: plug it in, or change the setting"
        return Finding("bluetooth", "mend", seen, advice)
    used = [of for address, of in known.items() if not wanted or address in wanted]
    if not any(of.is_powered for of in used):
        return Finding("bluetooth", "mend", seen, "rfkill unblock bluetooth, then bluetoothctl power on")
    return Finding("bluetooth", "ok", seen)


def _bluez(_installation: Installation) -> Finding:
    said = "" if platform.system() != "Linux" else _answer("bluetoothctl", "--version")
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None:
        return Finding("bluez", "note", "version unknown", "5.55 or newer is needed for a real wearable")
    if (int(found[1]), int(found[2])) < OLDEST_BLUEZ:
        return Finding("bluez", "mend", f"BlueZ {found[0]}", "5.55 or newer is needed: update bluez")
    return Finding("bluez", "ok", f"BlueZ {found[0]}")


def _kernel(_installation: Installation) -> Finding:
    release = platform.release()
    # Debian names a kernel after its interface (6.1.0-20), and says apart which it is (Debian 6.1.85-1).
    exact = re.search(r"Debian (\d+\.\d+\.\d+)", platform.version())
    digits = re.findall(r"\d+", exact[1] if exact else release)[:3]
    major, minor, patch = (*(int(number) for number in digits), 0, 0, 0)[:3]
    newest, backported = KERNELS_WITH_STRAP_FIX
    is_fixed = (major, minor, patch) >= newest or (
        (major, minor) == backported[:2] and patch >= backported[2]
    )
    if platform.system() == "Linux" and not is_fixed:
        advice = "if Polar straps drop after 30 to 150 s, the kernel refuses what they ask for: update it"
        return Finding("kernel", "note", release, advice)
    return Finding("kernel", "ok", f"{platform.system()} {release}, Python {platform.python_version()}")


def _host_clock(_installation: Installation) -> Finding:
    """Look whether something keeps the clock; asks nobody who needs root."""
    said = _answer("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if said == "yes":
        return Finding("clock", "ok", "synchronised")
    tracking = _answer("chronyc", "-n", "tracking")
    if re.search(r"Leap status\s*: Normal", tracking):
        offset = re.search(r"System time\s*: (.*)", tracking)
        return Finding("clock", "ok", f"synchronised by chrony, {offset[1] if offset else 'offset unknown'}")
    if SYNCHRONISED.exists():
        return Finding("clock", "ok", "synchronised by systemd-timesyncd")
    if said == "no":
        return Finding("clock", "note", "not synchronised", "timedatectl set-ntp true")
    return Finding("clock", "note", "cannot tell whether it is synchronised", "let NTP or chrony keep it")


def _answer(*words: str) -> str:
    """Return what a program says, empty if it is not there or does not answer."""
    if shutil.which(words[0]) is None:
        return ""
    try:
        return subprocess.run(  # noqa: S603 - fixed words
            words,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        ).stdout.strip()
    except subprocess.TimeoutExpired:
        return ""
