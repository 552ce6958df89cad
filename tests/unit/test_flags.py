"""Flags in the clinic: the shipped model over nights, one change is one flag, lost data are no change."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import FlagSettings
from features.calendar import through_night, until_night
from features.nights import NightRow, Nights, Provenance, night_batch, read_nights
from features.specs import NIGHT_FEATURES
from models.attribution import rest_of
from models.clinic import chance_words, explained, replayed
from models.daily import days_of, known_mapping
from models.flagging import CONTACT_DETECTOR, flags_of
from models.job import run_flags
from models.nightly import sources_of, spoken_names, verdict_of_nights
from models.placing import EXPIRES_DAYS, KNOWN, NEW, REST_DAYS, Place, placed
from models.policy import alert_days
from models.risk import Operating, shipped_model
from models.scoring import score_people
from models.standing import State, standing
from store.clock import VirtualClock
from store.errors import DataError
from store.installation import Installation
from store.nights import night_bounds_ns
from store.registry.flags import StoredFlag
from store.types import Flag
from store.units import NS_PER_S

FIRST = date(2026, 1, 1)
SETTINGS = FlagSettings(budget=0.5)
MODEL = shipped_model()
HEART = {"mean_hr_bpm": (60.0, 0.04), "lowest_hr_bpm": (54.0, 0.03), "rmssd_ms": (45.0, 0.12)}
OTHERS = {"tst_min": (420.0, 0.1), "steps": (8000.0, 0.3), "active_min": (180.0, 0.25)}
CHANGED = {
    "mean_hr_bpm": 1.09,
    "lowest_hr_bpm": 1.09,
    "rmssd_ms": 0.7,
    "tst_min": 0.75,
    "steps": 0.6,
    "active_min": 0.6,
}


def nights_of(  # noqa: PLR0913 - what may be different about nights
    n: int,
    change: slice = slice(0, 0),
    *,
    lost: slice = slice(0, 0),
    seed: int = 0,
    signals: tuple[str, ...] = (*HEART, *OTHERS),
    times: float = 1.0,
    heart_sensors: tuple[str, ...] = (),
) -> Nights:
    """Return nights of noise about a usual value; in some of them a change, of others nothing."""
    random = np.random.default_rng(seed)
    values = {spec.name: np.full(n, np.nan) for spec in NIGHT_FEATURES}
    for name, (usual, sd) in (HEART | OTHERS).items():
        held = usual * np.exp(random.normal(0, sd, n))
        held[change] *= 1 + times * (CHANGED[name] - 1)
        held[lost] = np.nan
        if name in signals:
            values[name] = held
    dates = tuple(FIRST + timedelta(days=k) for k in range(n))
    return Nights("S1", dates, values, np.full(n, 0.9), ("",) * n, ("UTC",) * n, heart_sensors, ("",) * n)


def flags(nights: Nights, kind: str = "change", asked: FlagSettings = SETTINGS) -> list[Flag]:
    verdict = verdict_of_nights(nights, MODEL, asked.budget)
    assert verdict is not None
    return [flag for flag in flags_of(verdict, asked) if flag.kind == kind]


def stand(nights: Nights, *, today: int, stored: tuple[StoredFlag, ...] = ()):
    verdict = verdict_of_nights(nights, MODEL, 0.25)
    return standing(verdict, stored, FIRST + timedelta(days=today), sources_of(nights))


def test_score_backtest_evaluate_and_flags_say_the_same_of_the_same_days():
    for seed in range(4):
        nights = nights_of(160, slice(90, 120), seed=seed)
        columns = {name: nights.values[name] for name in (*HEART, *OTHERS)}
        table = pd.DataFrame({"subject": "S1", "date": [d.isoformat() for d in nights.nights], **columns})
        (days,) = days_of(table, known_mapping(None))
        scored = score_people([days], MODEL, SETTINGS.budget)
        raised = scored.loc[scored["alert"], "date"].tolist()
        verdict = verdict_of_nights(nights, MODEL, SETTINGS.budget)
        assert verdict is not None
        as_evaluated = alert_days(verdict.score, verdict.is_monitored, MODEL.policy(SETTINGS.budget).review)
        assert raised == [flag.night.isoformat() for flag in flags(nights)]
        assert raised == scored.loc[as_evaluated, "date"].tolist()
        told = replayed(verdict, SETTINGS).flags
        assert [flag.reason for flag in told if flag.kind == "change"] == [
            reason for reason in scored["reasons"] if reason
        ]


@settings(max_examples=12, deadline=None)
@given(cut=st.integers(30, 139), seed=st.integers(0, 50))
def test_later_nights_change_no_earlier_flag(cut, seed):
    nights = nights_of(140, slice(80, 110), lost=slice(118, 130), seed=seed)
    past = until_night(nights, FIRST + timedelta(days=cut - 1))
    for kind in ("change", "contact"):
        assert flags(past, kind) == [f for f in flags(nights, kind) if f.night < FIRST + timedelta(days=cut)]


def test_a_flag_has_all_that_stood_behind_it():
    flag = flags(nights_of(120, slice(90, 120)))[0]
    assert abs(flag.since - (FIRST + timedelta(days=90))) <= timedelta(days=1)
    assert flag.since <= flag.night <= FIRST + timedelta(days=104)
    assert flag.score >= flag.threshold
    assert (flag.kind, flag.tier, flag.detector_id) == ("change", "review", MODEL.detector_id)
    assert flag.model_version == MODEL.digest
    assert flag.chance_frac == MODEL.chance_frac(flag.threshold, SETTINGS.changes_per_year)
    assert flag.coverage_frac == 1
    shares = [each.share for each in flag.contributions]
    assert shares == sorted(shares, reverse=True)
    assert {each.feature for each in flag.contributions} >= {"rmssd_ms", "steps", "tst_min"}
    assert sum(shares) + rest_of(flag.score, shares) == pytest.approx(flag.score)
    lead = flag.contributions[0]
    assert lead.low < lead.usual < lead.high
    assert 0 < lead.nights_judged <= 21


def test_who_wears_a_strap_alone_is_judged_at_a_threshold_of_their_own():
    strap = nights_of(120, slice(90, 120), signals=tuple(HEART), times=1.3)
    verdict = verdict_of_nights(strap, MODEL, 0.25)
    assert verdict is not None
    assert verdict.is_monitored[30:].all()
    assert verdict.is_heart_alone[verdict.is_monitored].all()
    whole, heart = MODEL.policy(0.25), MODEL.policy(0.25, is_heart_alone=True)
    assert heart.review != whole.review
    assert set(verdict.review[verdict.is_monitored]) == {heart.review}
    assert verdict.alerts[90:].any()
    assert not verdict.alerts[:90].any()
    rich = verdict_of_nights(nights_of(120), MODEL, 0.25)
    assert rich is not None
    assert not rich.is_heart_alone.any()


def test_data_lost_are_a_flag_of_contact_and_never_of_a_change():
    nights = nights_of(130, lost=slice(100, 130), seed=1)
    (flag,) = flags(nights, "contact")
    assert flags(nights) == []
    assert (flag.since, flag.night) == (FIRST + timedelta(days=100), FIRST + timedelta(days=102))
    assert flag.detector_id == CONTACT_DETECTOR
    assert "says nothing about how the person is" in flag.reason
    assert flag.contributions == ()
    assert flag.chance_frac is None


def test_a_night_or_two_without_data_is_nobodys_concern():
    assert flags(nights_of(130, lost=slice(100, 102)), "contact") == []
    holes = nights_of(130, lost=slice(0, 130, 2))
    assert flags(holes, "contact") == [], "every other night is how this person wears it"


def test_data_that_come_back_and_are_lost_again_are_two_flags():
    nights = nights_of(160, lost=slice(100, 106))
    for name in (*HEART, *OTHERS):
        nights.values[name][130:140] = np.nan
    assert len(flags(nights, "contact")) == 2


def test_missing_data_is_never_a_change():
    with pytest.raises(DataError, match="never a flag"):
        Flag("S1", FIRST, FIRST, 5, 5, "below", (), 0.0, "rule", "hash")


def stored(night: int, state: str = "open", *, flag_id: int = 1, worse: int | None = None, kind="change"):
    day = FIRST + timedelta(days=night)
    flag = Flag("S1", day, day, 5, 4, "below", (), 0.9, "model", "hash", "RMSSD low", kind=kind)
    worse_night = None if worse is None else FIRST + timedelta(days=worse)
    return StoredFlag(flag_id, state, 0, flag, worse_night=worse_night, worse_score=worse and 6.0)


def test_where_a_flag_belongs():
    def of(night: int, *held: StoredFlag, resolved: dict[int, date] | None = None) -> Place:
        return placed(stored(night).flag, held, resolved or {})

    assert of(50) is NEW
    assert of(50, stored(50)) is KNOWN
    assert of(50, stored(44)) is KNOWN, "a night that arrived late moves it, it stays the flag it was"
    assert of(58, stored(50)) == Place(worsens=1)
    assert of(58, stored(50, "snoozed")) == Place(worsens=1)
    assert of(54, stored(50, worse=58)) is KNOWN
    assert of(70, stored(50, worse=58)) == Place(worsens=1)
    assert of(50 + EXPIRES_DAYS + 1, stored(50)) is NEW
    assert of(58, stored(50, kind="contact")) is NEW, "contact and change are things apart"
    over = {1: FIRST + timedelta(days=57)}
    rests = Place(rests_until=over[1] + timedelta(days=REST_DAYS))
    assert of(58, stored(50, "resolved"), resolved=over) == rests
    assert of(64, stored(50, "resolved"), resolved=over) is NEW


def put(store, nights: Nights) -> None:
    rows = [
        NightRow(
            nights.subject_id,
            night,
            "UTC",
            {name: float(held[at]) for name, held in nights.values.items()},
            0.9,
            "",
            "",
            nights.heart_sensors[at] if nights.heart_sensors else "A",
            1,
            1,
            1,
        )
        for at, night in enumerate(nights.nights)
        if np.isfinite(nights.values["rmssd_ms"][at])
    ]
    store.write([night_batch(rows, Provenance("0", "hash", "job", 0))])


def noon_after(night: int) -> VirtualClock:
    end_ns = night_bounds_ns(FIRST + timedelta(days=night), "UTC")[1]
    return VirtualClock(end_ns + NS_PER_S)


def told(registry) -> list[tuple]:
    return [(s.flag, s.worse_night, s.worse_score) for s in registry.flags.all()]


CHANGING = nights_of(150, slice(80, 150), times=0.8)
for _name in (*HEART, *OTHERS):
    CHANGING.values[_name][95:] *= 1 + 0.8 * (CHANGED[_name] - 1)


def test_a_change_that_gets_worse_is_one_flag_with_a_history(store, registry):
    registry.people.add_subject("S1", "UTC")
    put(store, CHANGING)
    raised = [flag.night for flag in flags(CHANGING)]
    assert len(raised) > 1, "the policy alone would have raised it again"
    run = run_flags(store, registry, SETTINGS, noon_after(149))
    (one,) = [s for s in registry.flags.all() if s.flag.kind == "change"]
    assert run.new_flags == 1
    assert (one.flag.night, one.newest_night) == (raised[0], raised[-1])
    assert one.newest_score > one.flag.score
    events = [event.action for event in registry.flags.history(one.flag_id)]
    assert events == ["raised", *["worsened"] * (len(raised) - 1)]
    again = run_flags(store, registry, SETTINGS, noon_after(149))
    assert again.new_flags == 0
    assert [event.action for event in registry.flags.history(one.flag_id)] == events


def test_night_by_night_is_the_same_as_all_at_once(tmp_path):
    seen = []
    whole = nights_of(150, slice(80, 150), lost=slice(120, 150), times=0.8)
    for name, nights_a_run in (("one", 150), ("many", 5)):
        place = Installation(tmp_path / name, noon_after(149))
        with place.registry() as registry, place.timeseries() as store:
            registry.people.add_subject("S1", "UTC")
            for last in range(69 if nights_a_run == 5 else 149, 150, nights_a_run):
                put(store, until_night(whole, FIRST + timedelta(days=last)))
                run_flags(store, registry, SETTINGS, noon_after(last), is_all=False)
            seen.append(told(registry))
    assert len(seen[0]) >= 2
    assert seen[0] == seen[1]


def test_worsening_wakes_a_flag_that_was_seen_or_rests(store, registry):
    registry.people.add_subject("S1", "UTC")
    first, *later = flags(CHANGING)
    put(store, until_night(CHANGING, first.night))
    run_flags(store, registry, SETTINGS, noon_after((first.night - FIRST).days))
    (one,) = registry.flags.all()
    registry.flags.acknowledge(one.flag_id, by="wren")
    put(store, until_night(CHANGING, later[0].night))
    run_flags(store, registry, SETTINGS, noon_after((later[0].night - FIRST).days))
    woken = registry.flags.one(one.flag_id)
    assert (woken.state, woken.worse_night) == ("open", later[0].night)


def test_after_it_was_resolved_a_week_of_rest_then_a_new_one_if_it_still_stands(tmp_path):
    first, worse, *_ = flags(CHANGING)
    day, rested = timedelta(days=1), worse.night + timedelta(days=REST_DAYS)
    raised: list[int] = []
    for night in (first.night, worse.night - day, worse.night, rested - day, rested):
        clock = noon_after((night - FIRST).days)
        place = Installation(tmp_path, clock)
        with place.registry() as registry, place.timeseries() as store:
            if not raised:
                registry.people.add_subject("S1", "UTC")
            put(store, until_night(CHANGING, night))
            run_flags(store, registry, SETTINGS, clock)
            if len(raised) == 1:
                registry.flags.resolve(1, "contacted", by="wren")
            stored_flags = registry.flags.all()
            raised.append(len(stored_flags))
    assert raised == [1, 1, 1, 1, 2]
    assert stored_flags[0].flag.night == rested
    assert stored_flags[1].worse_night is None


def test_one_change_is_one_flag_though_nights_arrive_late_or_settings_change(store, registry):
    registry.people.add_subject("S1", "UTC")
    whole = nights_of(110, slice(90, 110))
    thin = nights_of(110, slice(90, 110), lost=slice(92, 94))
    for nights, asked in ((thin, SETTINGS), (whole, SETTINGS), (whole, FlagSettings(budget=0.6))):
        put(store, nights)
        run_flags(store, registry, asked, noon_after(109))
    assert len([s for s in registry.flags.all() if s.flag.kind == "change"]) == 1


@pytest.mark.parametrize(("end", "state"), [(104, "resolved"), (150, "open")])
def test_the_first_look_at_a_long_history_asks_nobody_about_what_is_over(store, registry, end, state):
    """A change that still stands, though it began long ago, waits for a look."""
    registry.people.add_subject("S1", "UTC")
    nights = nights_of(150, slice(90, end), times=1.3)
    put(store, nights)
    run = run_flags(store, registry, SETTINGS, noon_after(148))
    (one,) = [s for s in registry.flags.all() if s.flag.kind == "change"]
    assert (one.state, run.past_flags) == (state, int(state == "resolved"))
    assert (FIRST + timedelta(days=148) - one.newest_night).days > EXPIRES_DAYS
    assert registry.flags.outcomes() == {}, "nobody said how it ended: it teaches no model"
    again = run_flags(store, registry, SETTINGS, noon_after(149))
    assert (again.new_flags, again.past_flags) == (0, 0)


def test_what_ended_in_the_past_gives_no_rest_to_what_comes(tmp_path):
    nights = nights_of(200, slice(90, 104), times=1.3)
    for name in (*HEART, *OTHERS):
        nights.values[name][149:172] *= 1 + 1.3 * (CHANGED[name] - 1)
    closed = FIRST + timedelta(days=150)
    for last, new, past in ((150, 1, 1), (172, 1, 0)):
        place = Installation(tmp_path, noon_after(last))
        with place.registry() as registry, place.timeseries() as store:
            registry.people.add_subject("S1", "UTC")
            put(store, until_night(nights, FIRST + timedelta(days=last)))
            run = run_flags(store, registry, SETTINGS, noon_after(last))
            assert (run.new_flags, run.past_flags) == (new, past)
            stored_flags = registry.flags.all()
    assert [s.state for s in stored_flags] == ["open", "resolved"]
    assert closed < stored_flags[0].flag.night < closed + timedelta(days=REST_DAYS), "no rest put it off"


def test_a_flag_somebody_could_have_seen_stays_open_however_old_it_gets(store, registry):
    registry.people.add_subject("S1", "UTC")
    put(store, nights_of(200, slice(90, 104), times=1.3))
    run_flags(store, registry, SETTINGS, noon_after(104))
    run_flags(store, registry, SETTINGS, noon_after(199))
    assert [s.state for s in registry.flags.all() if s.flag.kind == "change"] == ["open"]


def test_silence_is_noticed_though_no_night_changes(store, registry):
    registry.people.add_subject("S1", "UTC")
    put(store, nights_of(100))
    assert run_flags(store, registry, SETTINGS, noon_after(99), is_all=False).new_flags == 0
    assert run_flags(store, registry, SETTINGS, noon_after(99), is_all=False).subjects == 0
    assert run_flags(store, registry, SETTINGS, noon_after(103), is_all=False).new_flags == 1
    (one,) = registry.flags.all()
    assert one.flag.kind == "contact"
    assert run_flags(store, registry, SETTINGS, noon_after(400), is_all=False).new_flags == 0
    assert run_flags(store, registry, SETTINGS, noon_after(500), is_all=False).subjects == 0


@pytest.mark.parametrize(("silent", "last", "expected"), [((), 103, 1), (("S1",), 103, 0), ((), 112, 0)])
def test_nobody_is_called_who_chose_silence_or_is_back(store, registry, silent, last, expected):
    registry.people.add_subject("S1", "UTC")
    put(store, until_night(nights_of(120, lost=slice(100, 104)), FIRST + timedelta(days=last)))
    run = run_flags(store, registry, SETTINGS, noon_after(last), silent=silent)
    assert run.new_flags == expected


def test_another_kind_of_sensor_starts_an_own_normal_again_and_says_so(store, registry):
    sensors = ("A",) * 80 + ("B",) * 20 + ("C",) * 30
    nights = nights_of(130, heart_sensors=sensors)
    names = {"A": "Strap one", "B": "Strap one", "C": "Other maker"}
    assert sources_of(nights, names)[79:81] == ["Strap one", "Strap one"], "the same model is no change"
    verdict = verdict_of_nights(nights, MODEL, 0.5, names)
    assert verdict is not None
    assert verdict.is_monitored[80:100].all()
    assert not verdict.is_monitored[100:113].any()
    assert verdict.is_monitored[121:].all()
    held = standing(
        verdict_of_nights(until_night(nights, FIRST + timedelta(days=109)), MODEL, 0.5, names),
        (),
        FIRST + timedelta(days=109),
        sources_of(nights, names),
    )
    assert held.state is State.LEARNING
    assert held.since == FIRST + timedelta(days=100)
    assert held.reason.startswith("Other sensor since 11 Apr (Other maker): 3 of 14 nights")
    said = spoken_names(nights, {sensors[0]: "Strap one"})
    assert {"Strap one", "model not known"} == set(sources_of(nights, said)), "an id may tell who wears it"
    registry.people.add_subject("S1", "UTC")
    put(store, nights)
    assert read_nights(store, "S1").heart_sensors == sensors


@pytest.mark.parametrize(
    ("sensors", "state", "begin", "end"),
    [
        (
            ("A",) * 60 + ("A", "A", "B") * 10,
            State.IN_RANGE,
            "As usual on 4 of the last 7 nights",
            "; not judged: 3 by another sensor (B)",
        ),
        (
            ("A",) * 60 + ("A", "B", "B") * 10,
            State.LEARNING,
            "Other sensor since 15 Mar (B): 7 of 14 nights",
            "the last 7 do not count yet",
        ),
        (
            ("A",) * 86 + ("B",) * 4,
            State.NOT_ENOUGH_DATA,
            "3 of the last 7 nights by the usual sensor, 4 needed",
            "; not judged: 4 by another sensor (B)",
        ),
    ],
    ids=["now and then", "more often than not", "just changed"],
)
def test_nights_by_another_sensor_are_left_out_and_said_to_be(sensors, state, begin, end):
    nights = nights_of(90, heart_sensors=sensors)
    held = stand(nights, today=89)
    assert held.state is state
    assert held.reason.startswith(begin)
    assert held.reason.endswith(end)
    assert not flags(nights, "contact")


def test_one_sensor_more_and_nights_without_one_are_no_change():
    heart = ("", "", "A", "", "A")
    nights = nights_of(5, heart_sensors=heart)
    assert sources_of(nights) == ["A"] * 5


def test_every_way_to_stand():
    full = nights_of(90, seed=2)
    calm = stand(full, today=89)
    assert calm.state is State.IN_RANGE
    assert calm.reason == "As usual on 7 of the last 7 nights: heart rate at night, RMSSD, time asleep, steps"
    assert stand(full, today=91).state is State.IN_RANGE
    gone = stand(through_night(full, FIRST + timedelta(days=98)), today=98)
    assert gone.state is State.NO_RECENT_DATA
    assert gone.reason == "No night with enough data since 31 Mar"
    assert stand(nights_of(0), today=0).state is State.NO_RECENT_DATA
    young = stand(nights_of(20), today=19)
    assert (young.state, young.since) == (State.LEARNING, FIRST)
    assert (
        young.reason == "14 of 14 nights for an own normal; the last 7 do not count yet"
        or "13 of 14" in young.reason
    )
    assert stand(nights_of(90, lost=slice(83, 89)), today=89).state is State.NOT_ENOUGH_DATA
    assert stand(nights_of(23), today=22).state is State.LEARNING
    changed = nights_of(110, slice(90, 110))
    flag = flags(changed)[0]
    seen = stand(changed, today=109, stored=(StoredFlag(1, "open", 0, flag),))
    assert (seen.state, seen.since, seen.reason) == (State.CHANGED, flag.since, flag.reason)
    after = stand(changed, today=109, stored=(StoredFlag(1, "resolved", 0, flag),))
    assert after.state is State.WATCH
    assert after.reason.startswith("Flagged before, and not over: ")
    silent, lost = nights_of(90, lost=slice(80, 90)), (stored(82, kind="contact"),)
    assert stand(silent, today=89, stored=lost).state is State.DATA_LOST
    back = nights_of(90, lost=slice(70, 76), seed=2)
    assert stand(back, today=89, stored=(stored(72, kind="contact"),)).state is State.IN_RANGE


def test_chance_is_false_among_false_and_true():
    """At threshold 1: 0.2 false a month; 60 % of 365.25 / 30 changes a year found is 0.6 a month."""
    curve = Operating(np.array([0.0, 2.0]), np.array([0.4, 0.0]), np.array([0.8, 0.4]))
    assert curve.chance_frac(1.0, 365.25 / 30) == pytest.approx(0.2 / (0.2 + 0.6))
    assert curve.chance_frac(2.0, 1.0) == 0
    rarely, often = (MODEL.chance_frac(0.5, changes) for changes in (0.5, 6.0))
    assert 0 < often < rarely < 1


def test_chance_is_said_in_tenths():
    assert chance_words(0.84) == "about 8 in 10 such flags are chance"
    assert "nobody can say" in chance_words(None)


def test_a_flag_is_explained_in_own_values_and_never_as_a_diagnosis():
    flag = flags(nights_of(120, slice(90, 120)))[0]
    text = "\n".join(explained(StoredFlag(1, "open", 0, flag)))
    lead = flag.contributions[0]
    assert f"{lead.share:+.2f}  {lead.feature}: {lead.value:.2f}" in text
    assert f"usual {lead.usual:.2f}, own band {lead.low:.2f} to {lead.high:.2f}" in text
    assert f"Since {flag.since}" in text
    assert f"Made by {MODEL.detector_id} {MODEL.digest}, settings {flag.config_hash}" in text
    assert "in 10 such flags are chance" in text
    assert "Not a diagnosis" in text
