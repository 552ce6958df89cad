"""What the pages say: order, words, gaps up to today, and a pulse that is only current while it is."""

import gc
import json
import socket
import threading
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from dashboard import caseload, warming
from dashboard.app import create_app
from dashboard.caseload import SHOWN_NIGHTS, read_case_load, read_each, read_patient, through_night
from dashboard.compare import compared
from dashboard.figures import with_gaps
from dashboard.live import aged_battery_text, pulse_text, sign_of_life, signal_text
from dashboard.markers import MARKERS, Series, unwrapped_h
from dashboard.patient import STREAMING_EVERY_MS, WAITING_EVERY_MS
from dashboard.pulse import (
    LIVE_BOARD_S,
    LIVE_WITHIN_S,
    Battery,
    Pulse,
    Signal,
    newest_pulse,
    read_pulses,
    without_contact_removed,
)
from dashboard.routes import Route, route_of
from dashboard.serve import serve
from dashboard.sources import Sources
from dashboard.sparklines import DRAWN_NIGHTS, LIMIT_Z, SPARKLINES, drawn_shares, drawn_z
from dashboard.trends import tiles, trend_charts
from dashboard.warming import EVERY_S, TURNS, warm_up, warmed
from dashboard.words import LEVELS, age_text, digits_apart, span_text
from dashboard.zoom import MOST_POINTS, is_reset, least_and_largest, span_of
from features.nights import read_nights
from models.baseline import Band
from models.sensors import Led
from models.standing import State
from store.errors import ConfigError, StoreUnavailableError
from store.nights import night_of
from store.units import NS_PER_MS, NS_PER_S
from tests.clinic import ZONE, Person, build_clinic, write_heart_rate
from tests.visitor import app, clinic_home, visitor

__all__ = ["app", "clinic_home", "visitor"]


@pytest.fixture
def sources(tmp_path, clock):
    opened = Sources.open(build_clinic(tmp_path / "clinic", clock))
    yield opened
    opened.close()


@pytest.fixture
def case_load(sources):
    people = sources.registry.people.subjects()
    return {patient.subject.subject_id: patient for patient in read_case_load(sources, people)}


def test_those_who_need_a_look_come_first(case_load):
    states = [patient.standing.state for patient in case_load.values()]
    assert states == sorted(states, key=lambda state: LEVELS[state].rank)
    assert list(case_load)[:3] == ["V01", "V06", "V03"]  # changed, then who stopped, then who never began
    assert {case_load[s].standing.state for s in ("V06", "V03")} == {State.NO_RECENT_DATA}
    assert case_load["V07"].standing.state == State.NOT_ENOUGH_DATA
    assert case_load["V04"].standing.state == State.LEARNING


def test_every_state_has_a_look_of_its_own():
    assert set(LEVELS) == set(State)
    for look in ("shape", "class_name", "rank"):
        assert len({getattr(level, look) for level in LEVELS.values()}) == len(State)


def test_data_that_stopped_show_as_a_gap_up_to_last_night(case_load, sources, clock):
    nights = case_load["V06"].nights
    assert nights.nights[-1] == night_of(clock.now_ns(), ZONE) - timedelta(days=1)
    stored = read_nights(sources.store, "V06")
    lost = len(nights) - len(stored)
    assert lost == 5
    assert np.isnan(nights.values["rmssd_ms"][-lost:]).all()
    assert set(nights.reasons[-lost:]) == {"No data received"}
    assert {len(v) for v in (*nights.values.values(), nights.coverage_frac, nights.zones)} == {len(nights)}


def test_nights_are_only_ever_lengthened(sources):
    stored = read_nights(sources.store, "V02")
    assert through_night(stored, date(2000, 1, 1)) is stored
    nobody = read_nights(sources.store, "V03")
    assert through_night(nobody, date(2026, 1, 1)) is nobody


def test_newest_data_of_somebody_without_samples_is_the_newest_night(case_load):
    assert case_load["V03"].last_data_ns is None
    assert case_load["V06"].last_data_ns < case_load["V02"].last_data_ns


def test_a_heart_rate_is_current_for_seconds_only(sources, clock):
    write_heart_rate(sources.store, "V02", clock.now_ns(), [61.0])
    pulse = newest_pulse(sources.store, "V02")
    later_ns = clock.now_ns() + (LIVE_WITHIN_S + 1) * NS_PER_S
    assert said(pulse_text(pulse, clock.now_ns())) == "61 beats/min"
    assert said(sign_of_life(pulse, clock.now_ns())) == "● 0 s ago"
    assert said(pulse_text(pulse, later_ns)) == "\N{EN DASH} beats/min"
    assert said(sign_of_life(pulse, later_ns)) == "○ silent, last heard 16 s ago"


def test_a_strap_off_the_skin_has_no_heart_rate(clock):
    pulse = Pulse(clock.now_ns(), None, "strap")
    assert said(pulse_text(pulse, clock.now_ns())) == "\N{EN DASH} beats/min"
    assert "not on the skin" in said(sign_of_life(pulse, clock.now_ns()))
    assert said(pulse_text(None, 0)) == "\N{EN DASH} beats/min"


def test_contact_counts_only_where_the_wearable_knows():
    bpm, contact = np.array([60.0, 60.0, 60.0, 0.0]), np.array([1.0, 0.0, np.nan, 1.0])
    seen = without_contact_removed(bpm, contact)
    assert np.isfinite(seen).tolist() == [True, False, True, False]


def test_pulses_are_of_the_wearable_heard_last(sources, clock):
    now_ns = clock.now_ns()
    write_heart_rate(sources.store, "V02", now_ns - 2 * NS_PER_S, [90.0, 91.0], sensor_id="old")
    write_heart_rate(sources.store, "V02", now_ns, [61.0, 62.0, 63.0])
    t_ns, bpm = read_pulses(sources.store, "V02", now_ns - 10 * NS_PER_S, now_ns + 1)
    assert bpm.tolist() == [61, 62, 63]
    assert t_ns[-1] == now_ns


@pytest.mark.parametrize(
    ("rssi_dbm", "said"),
    [
        (-50, "Signal good (\N{MINUS SIGN}50 dBm)"),
        (-67, "Signal good (\N{MINUS SIGN}67 dBm)"),
        (-68, "Signal fair (\N{MINUS SIGN}68 dBm)"),
        (-95, "Signal very weak (\N{MINUS SIGN}95 dBm)"),
    ],
)
def test_signal_strength_is_said_in_words(rssi_dbm, said):
    assert signal_text(Signal(0, rssi_dbm)) == said
    assert signal_text(None) == "Signal not known"


def test_a_charge_says_how_old_it_is():
    assert aged_battery_text(Battery(0, 99.6), 9 * 24 * 3600 * NS_PER_S) == "Battery 100 % (9 d ago)"
    assert aged_battery_text(None, 5) == "Battery unknown"


def test_many_who_look_at_the_live_list_ask_the_store_as_one_does(sources, clock, monkeypatch):
    asked = []
    latest = sources.store.latest
    monkeypatch.setattr(sources.store, "latest", lambda *of: asked.append(of) or latest(*of))

    def seen():
        return sources.pulses.of(sources.store, "V02", clock.now_ns(), within_s=LIVE_BOARD_S)

    assert [seen(), seen(), seen()] == [None, None, None]
    assert len(asked) == 1
    write_heart_rate(sources.store, "V02", clock.now_ns(), [61.0])
    clock.advance_to(clock.now_ns() + NS_PER_S)
    assert [seen().heart_rate_bpm, seen().heart_rate_bpm] == [61.0, 61.0]  # heard within a second
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", Route("triage")),
        ("/live", Route("live")),
        ("/patient/S-1.a", Route("patient", "S-1.a")),
        ("/patient/", None),
        ("/patient/a/b", None),
        ("/patient/%3Cscript", None),
        ("/nowhere", None),
    ],
)
def test_addresses(path, route):
    assert route_of(path) == route


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (-5, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (3 * 86_400, "3 d ago"),
        (-7200, "2 h ahead of this clock"),
    ],
)
def test_ages(age_s, text):
    assert age_text(age_s * NS_PER_S) == text


def test_a_range_without_numbers_is_said_without():
    assert span_text(float("nan"), 3.2, 1) == "\N{EN DASH} to 3.2"


def test_a_port_in_use_is_one_sentence(installation):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"^Port {port} on 127.0.0.1 is in use \(.+\); choose another"):
            serve(installation, "127.0.0.1", port)


def test_making_an_app_twice_shares_nothing(installation):
    apps = [create_app(installation) for _ in range(2)]
    assert apps[0].server is not apps[1].server
    assert len(apps[0]._callback_list) == len(apps[1]._callback_list) > 5
    for each in apps:
        each.sources.close()


def said(parts) -> str:
    return "".join(part if isinstance(part, str) else str(part.children) for part in parts)


def test_a_sample_from_a_wrong_clock_is_never_current(clock):
    pulse = Pulse(clock.now_ns() + 7200 * NS_PER_S, 61.0, "strap")
    assert said(pulse_text(pulse, clock.now_ns())) == "\N{EN DASH} beats/min"
    assert "2 h ahead of this clock; check the clocks" in said(sign_of_life(pulse, clock.now_ns()))
    assert Pulse(clock.now_ns() + 30 * NS_PER_S, 61.0, "strap").is_live(clock.now_ns())


def old_patient(home, clock, *, nights: int, ends_days_ago: int):
    installation = build_clinic(
        home, clock, (Person("V01", nights=nights, ends_days_ago=ends_days_ago), Person("V02"))
    )
    sources = Sources.open(installation)
    patient = read_patient(sources, sources.registry.people.subject("V01"))
    sources.close()
    return patient, installation.settings.flags


def test_one_old_night_is_what_the_page_shows(tmp_path, clock):
    patient, settings = old_patient(tmp_path, clock, nights=1, ends_days_ago=200)
    shown = patient.nights.nights[patient.shown]
    assert shown == (patient.newest_night,) == (night_of(clock.now_ns(), ZONE) - timedelta(days=200),)
    page = str(trend_charts(patient))
    assert "Nothing was recorded in the last 90 nights" in page
    assert "no night with enough data" not in page
    assert "no value in 7 nights" in str(tiles(patient, settings))


def test_a_gap_of_weeks_stays_in_sight(tmp_path, clock):
    patient, _ = old_patient(tmp_path, clock, nights=60, ends_days_ago=80)
    assert patient.shown_end == len(patient.nights)
    assert len(patient.nights.nights[patient.shown]) == SHOWN_NIGHTS
    assert "Nothing was recorded" not in str(trend_charts(patient))


@pytest.mark.parametrize(
    ("value", "digits"), [(68.2, 1), (59.8, 1), (70.0, 0), (64.0, 0), (67.9, 0), (float("nan"), 0)]
)
def test_a_value_outside_never_reads_as_the_edge(value, digits):
    assert digits_apart(value, 60.0, 67.9) == digits


def test_a_night_that_has_only_begun_is_not_shown_yet(sources, clock):
    """At 21:00 the night to tomorrow has a row, made of its first hours; the last one that ended is shown."""
    subject = sources.registry.people.subject("V02")
    running = night_of(clock.now_ns(), ZONE)
    assert read_nights(sources.store, "V02").nights[-1] == running
    assert read_patient(sources, subject).nights.nights[-1] == running - timedelta(days=1)
    clock.advance_to(clock.now_ns() + 10 * 3600 * NS_PER_S)  # 07:00: the nocturnal hours are over
    assert read_patient(sources, subject).nights.nights[-1] == running


def test_times_of_day_have_no_edge_at_midnight():
    assert unwrapped_h(np.array([23.5, 0.5, np.nan, 1.0])).tolist()[:2] == [-0.5, 0.5]
    assert unwrapped_h(np.array([11.0, 13.0])).tolist() == [11.0, 13.0]


def test_a_list_is_remembered_until_something_changes(sources, clock):
    people = sources.registry.people.subjects()
    first = read_case_load(sources, people)
    again = read_case_load(sources, people)
    assert all(one.nights is other.nights for one, other in zip(first, again, strict=True))
    write_heart_rate(sources.store, "V02", clock.now_ns(), [61.0])
    clock.advance_to(clock.now_ns() + 61 * NS_PER_S)
    newest = next(p for p in read_case_load(sources, people) if p.subject.subject_id == "V02")
    assert newest.pulse.heart_rate_bpm == 61.0
    flag = next(p for p in first if p.flags).flags[0]
    sources.registry.flags.acknowledge(flag.flag_id, by="lead")
    seen = next(p for p in read_case_load(sources, people) if p.flags)
    assert seen.flags[0].state == "acknowledged"


def test_everybody_is_computed_anew_in_turns_before_anybody_is_forgotten(sources, clock, monkeypatch):
    warm_up(sources)
    computed: list[str] = []
    compute = caseload._computed

    def counted(asked, subject, *more):
        computed.append(subject.subject_id)
        return compute(asked, subject, *more)

    monkeypatch.setattr(caseload, "_computed", counted)
    people = [person.subject_id for person in sources.registry.people.subjects()]
    for turn in range(1, TURNS + 1):
        clock.advance_to(clock.now_ns() + round(EVERY_S * NS_PER_S))
        warm_up(sources, turn=turn)
    assert sorted(computed) == people
    clock.advance_to(clock.now_ns() + caseload.FORGET_AFTER_NS // 8)
    computed.clear()
    read_case_load(sources, sources.registry.people.subjects())
    assert not computed


def test_two_who_read_the_list_at_once_compute_nobody_twice(sources, clock, monkeypatch):
    computed: list[str] = []
    compute = caseload._computed

    def counted(asked, subject, *more):
        computed.append(subject.subject_id)
        return compute(asked, subject, *more)

    monkeypatch.setattr(caseload, "_computed", counted)
    people = sources.registry.people.subjects()
    earlier = read_each(sources, people)
    next(earlier)
    clock.advance_to(clock.now_ns() + NS_PER_S)
    read_case_load(sources, people)
    assert len(list(earlier)) == len(people) - 1
    assert sorted(computed) == [person.subject_id for person in people]


def test_who_is_gone_is_forgotten(sources, monkeypatch):
    warm_up(sources)
    assert "V02" in sources.remembered
    people = [person for person in sources.registry.people.subjects() if person.subject_id != "V02"]
    monkeypatch.setattr(warming, "everybody", lambda _: people)
    warm_up(sources)
    assert sorted(sources.remembered) == [person.subject_id for person in people]


def test_pulses_of_many_are_read_in_one_question(sources, clock, monkeypatch):
    people = sources.registry.people.subjects()
    read_case_load(sources, people)
    write_heart_rate(sources.store, "V02", clock.now_ns(), [61.0])
    clock.advance_to(clock.now_ns() + 61 * NS_PER_S)
    asked: list[str] = []
    monkeypatch.setattr(sources.store, "latest", lambda *_: asked.append("latest"))
    newest = {patient.subject.subject_id: patient.pulse for patient in read_case_load(sources, people)}
    assert newest["V02"].heart_rate_bpm == 61.0
    assert not asked


def test_what_stays_is_spared_by_garbage_collections(sources, monkeypatch):
    frozen = threading.Event()
    monkeypatch.setattr(gc, "freeze", frozen.set)
    with warmed(sources):
        assert frozen.wait(60)


def test_two_who_open_somebody_at_once_compute_them_once(sources, monkeypatch):
    begun, twice, go = (threading.Event() for _ in range(3))
    compute = caseload._computed

    def slow(*asked):
        (twice if begun.is_set() else begun).set()
        go.wait(10)
        return compute(*asked)

    monkeypatch.setattr(caseload, "_computed", slow)
    subject = sources.registry.people.subject("V02")
    readers = [threading.Thread(target=read_patient, args=(sources, subject)) for _ in range(2)]
    readers[0].start()
    assert begun.wait(10)
    readers[1].start()
    assert not twice.wait(0.2)
    go.set()
    for reader in readers:
        reader.join(10)
    assert not twice.is_set()


def test_a_page_asks_every_second_while_heart_rate_arrives_and_else_less_often(app, visitor, clock):
    visitor.sign_in("lead")
    outputs = visitor.get("/_dash-dependencies").json
    moving = next(each["output"] for each in outputs if "patient-timer.interval" in each["output"])

    def every_ms():
        asked = {"address.pathname": "/patient/V02"}
        answer = visitor.call(moving, ["patient-timer.n_intervals"], **asked)
        return answer.json["response"]["patient-timer"]["interval"]

    assert every_ms() == WAITING_EVERY_MS > STREAMING_EVERY_MS
    write_heart_rate(app.sources.store, "V02", clock.now_ns(), [61.0])
    assert every_ms() == STREAMING_EVERY_MS


def test_letters_of_a_sparkline_say_where_the_band_begins_and_what_is_missing(case_load):
    for patient in case_load.values():
        for key, _ in SPARKLINES:
            text = drawn_z(patient.series.get(key))
            assert len(text) in (0, DRAWN_NIGHTS + 1)
    z = case_load["V01"].series["hrv"].band.z[-1]
    last = (ord(drawn_z(case_load["V01"].series["hrv"])[-1]) - 35) / 35 * 2 * LIMIT_Z - LIMIT_Z
    assert abs(last - np.clip(z, -LIMIT_Z, LIMIT_Z)) <= LIMIT_Z / 35
    assert drawn_z(case_load["V04"].series["hrv"])[0] == chr(35 + DRAWN_NIGHTS)
    assert drawn_shares(np.array([0.99, np.nan]))[-3:] == " 90"


@pytest.mark.parametrize("z", [1.999, 2.001, -1.999, -2.001])
def test_no_night_changes_sides_of_the_band_by_being_drawn_as_a_letter(z):
    values = np.full(40, 50.0)
    band = Band(values, values, values, np.full(40, z), np.zeros(40, np.intp))
    letter = drawn_z(Series(MARKERS[0], values, band, np.zeros(40, np.bool_)))[-1]
    read = (ord(letter) - 35) / 35 * 2 * LIMIT_Z - LIMIT_Z
    assert (abs(read) > 2) == (abs(z) > 2)


def test_a_night_by_another_sensor_is_a_break_in_the_line_of_the_list():
    values = np.full(40, 50.0)
    band = Band(values, values, values, np.zeros(40), np.full(40, 20))
    text = drawn_z(Series(MARKERS[0], values, band, np.arange(40) == 38))
    assert [text[-3] == " ", text[-2] == " ", text[-1] == " "] == [False, True, False]


def test_two_stretches_of_other_sensors_are_said_to_be_so(case_load):
    patient = case_load["V02"]
    n, days = len(patient.nights), patient.nights.nights
    begin = np.where(np.arange(n) < n - 14, 0, n - 14)
    is_other = np.arange(n) == n - 2
    series = {key: replace(each, is_other=is_other) for key, each in patient.series.items()}
    spans = (days[-40], days[-20], days[-14], days[-1])

    def told(sensors: list[str]) -> str:
        changed = replace(patient, led=Led(begin, is_other), sensors=tuple(sensors), series=series)
        return json.dumps(
            compared(changed, spans).to_plotly_json(), default=lambda part: part.to_plotly_json()
        )

    assert "Other sensors: A, then B." in told(["A"] * (n - 14) + ["B"] * 12 + ["A", "B"])
    assert "Other sensors" not in told(["A"] * n)
    assert "Other sensors" not in told([""] * (n - 14) + ["B"] * 14), "what is not known is not said"
    assert "Other sensors" not in told(["A"] * (n - 40) + [""] + ["A"] * 39)
    held = np.isfinite(patient.series["hrv"].values[-14:])
    assert f'" {held.sum() - held[-2]} nights"' in told(["A"] * n), "a night by another does not count"


def test_zooming_keeps_extremes_and_the_edges_of_gaps_and_breaks_the_line_nowhere_else():
    rng = np.random.default_rng(1)
    t_ns = np.arange(86_400, dtype=np.int64) * NS_PER_S
    t_ns[30_000:] += 3600 * NS_PER_S
    bpm = rng.normal(70, 5, len(t_ns))
    bpm[12_345] = 190.0
    bpm[40_000:40_600] = np.nan  # off the skin
    bpm[50_000] = np.nan  # a second, narrower than the line
    x, y = with_gaps(t_ns, bpm, 30 * NS_PER_S, "UTC")
    kept_x, kept = least_and_largest(x, y)
    assert len(kept_x) <= MOST_POINTS + 6
    assert np.nanmax(kept) == 190.0
    assert np.isnan(kept).sum() == 2  # samples that are left out are no gap
    edges_ns = t_ns[[29_999, 30_000, 39_999, 40_600]]
    assert set((edges_ns / NS_PER_MS).tolist()) <= set(kept_x.tolist())
    assert set(kept[np.isfinite(kept)].tolist()) <= set(bpm.tolist())


@pytest.mark.parametrize("count", [0, 5, MOST_POINTS + 1])
def test_zooming_on_nothing_or_little_draws_what_there_is(count):
    x, y = least_and_largest(np.arange(count, dtype=float), np.full(count, np.nan))
    assert len(x) == len(y) <= max(count, 3)


@pytest.mark.parametrize(
    "moved", [None, 5, {}, {"autosize": True}, {"xaxis.range[0]": "x", "xaxis.range[1]": 3}]
)
def test_what_is_no_zoom_moves_nothing(moved):
    assert span_of(moved) is None


def test_what_the_list_needs_is_computed_ahead_and_a_store_that_is_away_is_no_end_of_it(sources, monkeypatch):
    warm_up(sources)
    assert set(sources.remembered) == {person.subject_id for person in sources.registry.people.subjects()}

    def away(*_: object) -> None:
        raise StoreUnavailableError("the store is away")

    monkeypatch.setattr("dashboard.caseload.read_nights", away)
    sources.remembered.clear()
    warm_up(sources)
    assert not sources.remembered


def test_a_double_click_means_everything_in_both_ways_plotly_says_it():
    assert span_of({"xaxis.range": ["2026-01-01", "2026-01-29"]}) == (1767225600000.0, 1769644800000.0)
    assert is_reset({"xaxis.autorange": True})
    assert not is_reset({"autosize": True})
