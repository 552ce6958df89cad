"""Commands that bring samples in: scan, collect, pause, replay; the demonstration; the doctor."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from store.command import EXIT_PARTLY, note, open_installation, progress_bar, say
from store.units import NS_PER_S

if TYPE_CHECKING:
    from ingest.consent import Gate
    from ingest.replay import ReplayResult
    from ingest.service import Collected
    from ingest.sightings import SeenWearable
    from ingest.spool_file import SpoolCounts
    from store.installation import Installation
    from store.recording import RrRecording
    from store.registry.registry import Registry
    from store.timeseries import TimeSeriesStore

SCAN_REFRESH_S = 0.5
"""Signal strengths change with every advertisement; twice a second is as much as an eye follows."""


def scan(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(help="How long to listen.", min=1, max=600)] = 10.0,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Listen for wearables: address, name, signal, what of them is understood, battery, who wears them."""
    import asyncio
    import json

    from ingest.sightings import silent_wearables

    installation = open_installation(context)
    with installation.registry() as registry:
        worn = registry.people.worn_now()
    note(f"Listening for {seconds:g} s ...")
    is_live = output == "text" and sys.stdout.isatty()
    seen = asyncio.run(_listen(installation.settings.collector.adapters, seconds, worn, is_live=is_live))
    if output == "json":
        say(json.dumps([each.as_json() for each in seen], indent=1))
        return
    if not is_live:
        for each in seen:
            say(each.line())
    if seen:
        say(f"{len(seen)} found; next: evenkeel sensor pair ADDRESS --subject S")
    else:
        say("None found; is the wearable worn, awake and not connected to a phone?")
    if silent := silent_wearables(seen, worn):
        note(f"Not heard: {', '.join(silent)}; a wearable that a collector is connected to is silent")


async def _listen(
    adapters: tuple[str, ...], seconds: float, worn: dict[str, str], *, is_live: bool
) -> "list[SeenWearable]":
    """Listen with all chosen adapters; on a terminal, show a table that fills as it goes."""
    import asyncio

    from rich.live import Live

    from ingest.profiles import PROFILES
    from ingest.radio import Radio, bluetooth_errors, listening
    from ingest.sightings import seen_wearables, sightings_table

    loop = asyncio.get_running_loop()
    with bluetooth_errors():
        radios = await Radio().adapters(adapters)
    async with listening(radios) as heard:
        until_s = loop.time() + seconds
        if not is_live:
            await asyncio.sleep(seconds)
        else:
            with Live(sightings_table([]), auto_refresh=False) as screen:
                while loop.time() < until_s:
                    await asyncio.sleep(SCAN_REFRESH_S)
                    table = sightings_table(seen_wearables(heard.values(), PROFILES, worn))
                    screen.update(table, refresh=True)
        return seen_wearables(heard.values(), PROFILES, worn)


def collect(
    context: typer.Context,
    drain: Annotated[bool, typer.Option("--drain", help="Only forward what the spool still holds.")] = False,
) -> None:
    """Collect from every paired sensor until Ctrl-C or SIGTERM; nothing received is lost.

    Follows sensors that are paired, passed on or unpaired meanwhile, and `evenkeel pause`.
    """
    import asyncio

    from ingest import service
    from ingest.consent import Gate
    from ingest.lean import without_pandas
    from store.errors import ConfigError

    _show_log("INFO")
    installation = open_installation(context)
    with without_pandas(), installation.registry() as registry, installation.timeseries() as store:
        if drain:
            keep_waveforms = installation.settings.collector.keep_waveforms
            gate = Gate(registry.consents, installation.clock)
            counts = service.drain(
                installation.spool_path(), store, installation.clock, keep_waveforms=keep_waveforms, gate=gate
            )
            _report_drained(counts)
            return
        if not registry.people.worn_now():
            raise ConfigError(
                "No sensor is paired, so there is nobody to collect from; find one with `evenkeel scan`, "
                "then say who wears it: evenkeel sensor pair ADDRESS --subject S"
            )
        done = asyncio.run(_collect(installation, registry, store))
    say("received " + ", ".join(f"{stream} {count:,}" for stream, count in sorted(done.received.items())))
    _report_drained(done.counts)
    if done.refused:
        note(f"{done.refused:,} records were refused because the spool was full; make room on the disk")
        raise typer.Exit(EXIT_PARTLY)


async def _collect(
    installation: "Installation", registry: "Registry", store: "TimeSeriesStore"
) -> "Collected":
    import asyncio

    from ingest import service
    from ingest.consent import Gate
    from ingest.decoders.device_information import DeviceInformation
    from ingest.pauses import PAUSE_FILE
    from ingest.radio import Radio
    from ingest.roster import registry_roster
    from ingest.spool import Spool

    def register(sensor_id: str, told: DeviceInformation) -> None:
        registry.people.register_sensor(
            sensor_id,
            model=told.model_number or "",
            manufacturer=told.manufacturer_name or "",
            firmware=told.firmware_revision or "",
        )

    until = asyncio.Event()
    service.stop_on_signals(until)
    chosen, path, clock = installation.settings.collector, installation.spool_path(), installation.clock
    with Spool(path, clock, capacity_bytes=chosen.spool_limit_mb * 1_000_000) as spool:
        roster = registry_roster(registry.people, installation.home / PAUSE_FILE)
        note(f"Collecting from {len(roster.worn(clock.now_ns()))} sensors; Ctrl-C ends it")
        return await service.collect(
            roster, store=store, spool=spool, clock=clock, radio=Radio(), until=until, settings=chosen,
            on_device_info=register, memory_path=path.with_name("wearables.json"),
            gate=Gate(registry.consents, clock),
        )  # fmt: skip


def replay(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="RR recording: CSV (or .csv.gz) with t_s (end of interval), rr_ms.")
    ],
    subject: Annotated[str, typer.Option(help="Whose heart it is.")],
    start: Annotated[
        str | None, typer.Option(help="When the recording began, ISO 8601; by default so that it just ended.")
    ] = None,
    speed: Annotated[str, typer.Option(help="So many times real time, or max.")] = "max",
) -> None:
    """Send a recorded heart through a virtual strap, the air, collector and spool; again changes nothing."""
    import asyncio

    from ingest.consent import Gate
    from ingest.ledger_feed import feed_from
    from ingest.replay import forget_interrupted, replay_address
    from ingest.replay import replay as run_replay
    from store.ledger import open_ledger
    from store.recording import read_rr_file
    from store.times import iso_time, parse_time_ns

    chosen_speed = _parse_speed(speed)
    asked_ns = None if start is None else parse_time_ns(start, "--start")
    _show_log("WARNING")
    installation = open_installation(context)
    with installation.registry() as registry, installation.timeseries() as store:
        registry.people.subject(subject)
        gate = Gate(registry.consents, installation.clock)
        _check_consent(gate, subject)
        recording = read_rr_file(file)
        sensor_id = replay_address(subject, recording.digest)
        before_ns = registry.people.replay_start_ns(sensor_id)
        start_ns = _start_ns(asked_ns, before_ns, installation.clock.now_ns(), float(recording.t_s[-1]))
        _check_times(file, recording, start_ns)
        registry.people.register_sensor(sensor_id, name=f"Replay of {file.name}", model="virtual strap")
        registry.people.note_replay(sensor_id, start_ns)
        spool_path = installation.spool_path(f"replay-{sensor_id.replace(':', '')}")
        forget_interrupted(spool_path, installation.clock)
        hours = float(recording.t_s[-1] - recording.t_s[0]) / 3600
        note(f"Replaying {len(recording):,} beats ({hours:.1f} h) for {subject} from {iso_time(start_ns)}")
        with progress_bar(f"Replay {file.name}", "h") as update:
            done = asyncio.run(
                run_replay(
                    recording,
                    subject_id=subject,
                    sensor_id=sensor_id,
                    start_ns=start_ns,
                    store=store,
                    spool_path=spool_path,
                    speed=chosen_speed,
                    progress=lambda done_frac: update(done_frac * hours, hours),
                    on_stored=lambda spool: feed_from(
                        spool, open_ledger(installation.home, installation.clock)
                    ),
                    gate=gate,
                )
            )
    _report_replay(done, recording, file)


def _check_consent(gate: "Gate", subject_id: str) -> None:
    from store.errors import RefusedError
    from store.streams import HEART_RATE, RR_INTERVAL

    if not any(gate.is_open(subject_id, stream.name) for stream in (HEART_RATE, RR_INTERVAL)):
        raise RefusedError(
            f"{subject_id} agrees neither to heart_rate nor to rr_interval being kept, and a recording "
            f"brings nothing else. Once they agree: evenkeel subject consent {subject_id}"
        )


def demo(
    context: typer.Context,
    seconds: Annotated[
        float | None, typer.Option(help="Stop so long after all is up; without it Ctrl-C does.", min=1)
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the dashboard.", min=1, max=65535)] = None,
    days: Annotated[int, typer.Option(help="Days of simulated history.", min=1, max=365)] = 90,
    store: Annotated[str | None, typer.Option(help="URL of another store than the settings name.")] = None,
) -> None:
    """Show it all with simulated people: straps, collector, store, jobs, dashboard."""
    import asyncio

    from configs.home import home_directory, is_home_chosen
    from ingest.virtual.demo import run_demo
    from store.installation import Installation

    _show_log("WARNING")
    asked = context.find_root().obj
    home = home_directory(asked)
    if not is_home_chosen(asked):
        home = home.with_name(f"{home.name}-demo")
    installation = Installation(home, store_url=store)
    outcome = asyncio.run(run_demo(installation, seconds=seconds, port=port, days=days))
    say(outcome.line())
    if not outcome.agrees():
        raise typer.Exit(EXIT_PARTLY)


def doctor(context: typer.Context) -> None:
    """Look for what would keep this machine from collecting, each with what to do."""
    from ingest.doctor import examine

    findings = examine(open_installation(context))
    for finding in findings:
        advice = f": {finding.advice}" if finding.advice else ""
        say(f"{finding.verdict:5s}{finding.what:10s} {finding.seen}{advice}")
    if any(finding.verdict == "mend" for finding in findings):
        raise typer.Exit(EXIT_PARTLY)


def _parse_speed(text: str) -> float | None:
    from store.errors import ConfigError

    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise ConfigError(f"--speed is {text!r}; needed is a number above 0, such as 60, or max")
    return speed


def _start_ns(asked_ns: int | None, before_ns: int | None, now_ns: int, length_s: float) -> int:
    """Return when a recording began: as asked, else as the last time, else so that it has just ended."""
    if asked_ns is not None:
        return asked_ns
    if before_ns is not None:
        return before_ns
    whole_minute_ns = 60 * NS_PER_S
    return (now_ns - round((length_s + 60) * NS_PER_S)) // whole_minute_ns * whole_minute_ns


def _report_replay(done: "ReplayResult", recording: "RrRecording", file: Path) -> None:
    from store.errors import StoreUnavailableError

    say(
        f"{done.beats - len(done.unsendable):,} beats in {done.packets_sent:,} packets: "
        f"{done.packets_received:,} received, "
        f"{done.spooled_frames:,} frames spooled, {done.forwarded_frames:,} stored"
    )
    for index in done.unsendable:
        rr_s = recording.rr_ms[index] / 1000
        note(
            f"Interval {index + 1} of {file.name} ({rr_s:.1f} s) was left out: no strap can send 64 s or more"
        )
    if done.waiting_frames:
        raise StoreUnavailableError(
            f"{done.waiting_frames:,} frames of {file.name} were not stored because the store refused them; "
            "mend it (evenkeel doctor), then replay again: nothing is stored twice"
        )
    if done.unsendable or done.quarantined_frames:
        raise typer.Exit(EXIT_PARTLY)


def _check_times(file: Path, recording: "RrRecording", start_ns: int) -> None:
    from store.errors import RecordingError

    first_s, last_s = float(recording.t_s[0]), float(recording.t_s[-1])
    ends_ns = (start_ns, start_ns + round(first_s * 1e9), start_ns + round(last_s * 1e9))
    if not all(abs(end_ns) < 1 << 63 for end_ns in ends_ns):
        raise RecordingError(
            f"{file.name}: t_s from {first_s:g} to {last_s:g} s leaves the years 1678 to 2261; "
            "needed are seconds since its start; check t_s and --start"
        )


def _show_log(level: str) -> None:
    """Show on the terminal, with times, what our own log says; what libraries say only if it is serious."""
    import logging

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S", level="ERROR")
    logging.getLogger("ingest").setLevel(level)
    # The virtual air's own stack calls a request that we withdraw an error.
    logging.getLogger("bumble").setLevel(logging.CRITICAL)


def _report_drained(counts: "SpoolCounts") -> None:
    from store.errors import StoreUnavailableError

    say(
        f"{counts.spooled_frames:,} frames spooled, {counts.forwarded_frames:,} stored, "
        f"{counts.quarantined_frames:,} quarantined, {counts.waiting_frames:,} waiting"
        + (f", {counts.withheld_frames:,} removed for want of consent" if counts.withheld_frames else "")
    )
    if counts.waiting_frames:
        raise StoreUnavailableError(
            f"{counts.waiting_frames:,} frames still wait in the spool because the store refused them; "
            "nothing is lost: mend the store (evenkeel doctor), then run evenkeel collect --drain"
        )


def virtual(
    *,
    straps: Annotated[
        int, typer.Option(help="Chest straps, each on a simulated person.", min=0, max=1000)
    ] = 3,
    h10s: Annotated[int, typer.Option("--h10s", help="Polar H10.", min=0, max=100)] = 0,
    rings: Annotated[int, typer.Option(help="Colmi rings.", min=0, max=100)] = 0,
    pinetimes: Annotated[int, typer.Option(help="PineTime watches.", min=0, max=100)] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same addresses, people and beats.")] = 0,
    adapters: Annotated[
        int | None, typer.Option(help="Bluetooth adapters; by default one for five wearables.", min=1, max=9)
    ] = None,
    slots: Annotated[
        int | None, typer.Option(help="Connections an adapter holds; real ones 5 to 7.", min=1)
    ] = None,
    disconnect_delay: Annotated[
        float, typer.Option(help="Seconds that a disconnect takes; the real service 2.7.", min=0, max=60)
    ] = 0.0,
) -> None:
    """Wear virtual wearables that any program on this machine finds through Bluetooth, until Ctrl-C.

    The first line says where, as JSON: set DBUS_SYSTEM_BUS_ADDRESS to its `bus` for `evenkeel collect`, and
    pair the addresses of its `sensors`. Nothing of this machine's own Bluetooth is touched.
    """
    import asyncio
    import sys

    from ingest.virtual.bluez.device import Behaviour
    from ingest.virtual.command import run_virtual
    from store.clock import SystemClock

    def announce(line: str) -> None:
        say(line)
        sys.stdout.flush()
        note("Ctrl-C ends it")

    wanted = {"strap": straps, "polar_h10": h10s, "colmi_ring": rings, "pinetime": pinetimes}
    _show_log("WARNING")
    asyncio.run(
        run_virtual(
            wanted,
            seed=seed,
            adapters=adapters or min(-(-max(sum(wanted.values()), 1) // 5), 9),
            behaviour=Behaviour(slots=slots, disconnect_delay_s=disconnect_delay, seed=seed),
            clock=SystemClock(),
            announce=announce,
        )
    )


def devices(
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """List the services of wearables that are understood: what each brings, by which specification."""
    import json

    from ingest.profiles import PROFILES
    from ingest.understood import NO_RADIO, understood

    found = understood(PROFILES)
    if output == "json":
        say(json.dumps([each.as_json() for each in found], indent=1))
        return
    for each in found:
        say(each.text())
    say(NO_RADIO)
