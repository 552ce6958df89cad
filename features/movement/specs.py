"""Every value of sleep, wear, activity and rhythm in a night's row, declared once.

A night is named by the date of its morning. Its sleep is the period that ends on that date; its wear is of
noon to noon; its activity is of the local day before, midnight to midnight, which ends in the night; its week
is the seven nights up to it.
"""

from collections.abc import Callable

from features.feature import FeatureSpec

NEARLY_ALL = 0.95
DAY_WORN = 2 / 3
"""16 h of the day before: who takes it off to sleep still shows how active they were."""
DAY_WHOLE = 0.9
"""What sums up rest needs rest to be seen, too."""
WEEK_SEEN = 0.5

_MINUTES = "10.1093/annweh/wxaa007"
_STAGES = "10.5664/jcsm.26814"
_TOTALS = "10.1016/j.ypmed.2017.05.030"
_BOUTS = "10.1101/182337"
_CADENCE = "10.1136/bjsports-2017-097628"
_WEAR = "10.1371/journal.pone.0061691"
_WITTING = "10.1016/0006-3223(90)90523-5"
_COSINOR = "10.1186/1742-4682-11-16"
_REGULAR = "10.1016/j.smrv.2015.06.003"
_SRI = "10.1038/s41598-017-03171-4"
_JET_LAG = "10.1080/07420520500545979"
_GRADIENT = "10.1249/MSS.0000000000001561"
_AS_RECORDED = "as recorded"


def _of(family: str, needed: float) -> Callable[..., FeatureSpec]:
    def spec(  # noqa: PLR0913 - a row of a table
        name: str,
        unit: str,
        label: str,
        meaning: str,
        formula: str,
        doi: str,
        *,
        is_log: bool = False,
        is_clock: bool = False,
        needed: float = needed,
    ) -> FeatureSpec:
        return FeatureSpec(
            name, unit, label, meaning, formula, doi, family, needed, is_log, is_clock_time=is_clock
        )

    return spec


_sleep = _of("sleep", NEARLY_ALL)
_stage = _of("stages", NEARLY_ALL)
_nap = _of("naps", 0.8)
_wear = _of("wear", 1e-9)
_day = _of("activity", DAY_WORN)
_week = _of("rhythm", WEEK_SEEN)
_regular = _of("regularity", WEEK_SEEN)

SLEEP_FEATURES: tuple[FeatureSpec, ...] = (
    _sleep(
        "tib_min",
        "min",
        "Time in bed",
        "Length of the main sleep period that ends on the date, as the wearable has it, or as found",
        "out of bed - in bed; of a period that was found, its end - its begin",
        _MINUTES,
    ),
    _sleep(
        "spt_min",
        "min",
        "Sleep period",
        "Time from falling asleep to the last awakening of the main sleep period",
        "offset - onset",
        _MINUTES,
    ),
    _sleep(
        "tst_min",
        "min",
        "Total sleep time",
        "Minutes asleep in the main sleep period, without naps",
        "minutes scored as sleep in the period",
        _MINUTES,
    ),
    _sleep(
        "sol_min",
        "min",
        "Sleep onset latency",
        "How long somebody lay in bed before falling asleep, where the wearable tells when that was",
        "onset - in bed",
        _MINUTES,
    ),
    _sleep(
        "waso_min",
        "min",
        "Wake after sleep onset",
        "Minutes awake between falling asleep and the end of the period",
        "minutes scored as wake from onset to the end of the period",
        _MINUTES,
    ),
    _sleep(
        "se_pct",
        "%",
        "Sleep efficiency",
        "How much of the main sleep period was slept",
        "100 tst_min / tib_min",
        _MINUTES,
    ),
    _sleep(
        "awakenings",
        "",
        "Awakenings",
        "How often the main sleep was interrupted by wake, however short",
        "runs of wake after onset",
        _MINUTES,
    ),
    _sleep(
        "onset_h",
        "h",
        "Asleep at",
        "Local clock time of the first minute asleep of the main period, 0-24",
        "clock time of onset",
        _MINUTES,
        is_clock=True,
    ),
    _sleep(
        "offset_h",
        "h",
        "Awake at",
        "Local clock time after the last minute asleep of the main period, 0-24",
        "clock time of offset",
        _MINUTES,
        is_clock=True,
    ),
    _sleep(
        "midpoint_h",
        "h",
        "Middle of sleep",
        "Local clock time half-way between falling asleep and waking up, 0-24",
        "clock time of (onset + offset) / 2",
        _REGULAR,
        is_clock=True,
    ),
)

STAGE_FEATURES: tuple[FeatureSpec, ...] = (
    _stage(
        "light_min",
        "min",
        "Light sleep",
        "Minutes in light sleep (N1, N2) as the wearable itself scored them",
        "minutes of light",
        _STAGES,
    ),
    _stage(
        "deep_min",
        "min",
        "Deep sleep",
        "Minutes in deep sleep (N3) as the wearable itself scored them",
        "minutes of deep",
        _STAGES,
    ),
    _stage(
        "nrem_min",
        "min",
        "Non-REM sleep",
        "Minutes of sleep that is not REM, as the wearable itself scored them",
        "light_min + deep_min",
        _STAGES,
    ),
    _stage(
        "rem_min",
        "min",
        "REM sleep",
        "Minutes of sleep with rapid eye movements, as the wearable itself scored them",
        "minutes of REM",
        _STAGES,
    ),
)

NAP_FEATURES: tuple[FeatureSpec, ...] = (
    _nap(
        "naps",
        "",
        "Number of naps",
        "Sleep periods of 15 min or more beside the main one that end on the date of the night",
        "count of other periods that end on that date",
        _MINUTES,
    ),
    _nap(
        "nap_min",
        "min",
        "Naps together",
        "Minutes asleep in all naps that end on the date of the night",
        "minutes asleep in those",
        _MINUTES,
    ),
)

WEAR_FEATURES: tuple[FeatureSpec, ...] = (
    _wear(
        "wear_min",
        "min",
        "Time worn",
        "Minutes from noon to noon in which the wearable was worn and recorded",
        "minutes of wear",
        _WEAR,
    ),
    _wear(
        "not_worn_min",
        "min",
        "Time not worn",
        "Minutes from noon to noon in which the wearable recorded or reported that it was not on anybody",
        "minutes off the body",
        _WEAR,
    ),
    _wear(
        "charging_min",
        "min",
        "Time charging",
        "Minutes from noon to noon in which the charge of the wearable rose",
        "minutes between readings of the battery that rose by 3 % or more",
        "",
    ),
    _wear(
        "unknown_min",
        "min",
        "Time unknown",
        "Minutes from noon to noon of which nothing was recorded that tells",
        "the other minutes of the 23 to 25 h",
        "",
    ),
)

ACTIVITY_FEATURES: tuple[FeatureSpec, ...] = (
    _day(
        "steps",
        "",
        "Daily steps",
        "Steps of the local day before, from midnight to midnight",
        "sum of steps",
        _CADENCE,
    ),
    _day(
        "tac",
        _AS_RECORDED,
        "Total activity",
        "All movement of the local day before, in the unit of the recording (`movement`)",
        "sum of minutes (total activity count)",
        _TOTALS,
        is_log=True,
    ),
    _day(
        "tlac",
        "",
        "Total log activity",
        "All movement of the day before, in which light activity counts for more",
        "sum ln(1 + x) of minutes (total log activity count)",
        _TOTALS,
    ),
    _day(
        "active_min",
        "min",
        "Active time",
        "Minutes of the day before with at least light activity",
        "minutes at or above the published bound of the unit",
        _BOUTS,
    ),
    _day(
        "mvpa_min",
        "min",
        "Moderate and vigorous activity",
        "Minutes of the day before spent as in brisk walking or harder",
        "minutes at or above the published bound of moderate activity",
        _CADENCE,
    ),
    _day(
        "sedentary_min",
        "min",
        "Sedentary and asleep",
        "Minutes of the day before below light activity, sleep among them",
        "minutes below the bound of active_min",
        _BOUTS,
        needed=DAY_WHOLE,
    ),
    _day(
        "longest_sedentary_min",
        "min",
        "Longest inactivity",
        "Longest run of minutes of the day before without activity, sleep among them",
        "longest run below the bound of active_min",
        _BOUTS,
        needed=DAY_WHOLE,
    ),
    _day(
        "active_bouts",
        "",
        "Active bouts",
        "How many times activity began on the day before",
        "runs of active minutes",
        _BOUTS,
        needed=DAY_WHOLE,
    ),
    _day(
        "astp",
        "1/min",
        "Active to sedentary",
        "How likely an active minute of the day before was the last of its bout: high is broken up",
        "active_bouts / active_min",
        _BOUTS,
        needed=DAY_WHOLE,
    ),
    _day(
        "satp",
        "1/min",
        "Sedentary to active",
        "How likely a sedentary minute of the day before was the last of its bout: low is staying put",
        "sedentary bouts / sedentary_min",
        _BOUTS,
        needed=DAY_WHOLE,
    ),
    _day(
        "intensity_gradient",
        "",
        "Intensity gradient",
        "How fast time thins out towards harder activity on the day before; closer to 0 is more of it",
        "slope of ln(minutes) on ln(mg), bins of 25 mg, of minutes of ENMO",
        _GRADIENT,
        needed=DAY_WHOLE,
    ),
    _day(
        "m10_day",
        _AS_RECORDED,
        "Most active 10 h",
        "Mean of the most active ten hours in a row of the day before",
        "highest mean of 10 h in a row, 90 % of them worn",
        _WITTING,
        is_log=True,
    ),
    _day(
        "m10_day_onset_h",
        "h",
        "Most active from",
        "Local clock time at which those ten hours of the day before began, 0-24",
        "where m10_day begins",
        _WITTING,
        is_clock=True,
    ),
    _day(
        "l5_night",
        _AS_RECORDED,
        "Least active 5 h",
        "Mean of the least active five hours in a row from noon to noon",
        "lowest mean of 5 h in a row from noon to noon, 90 % of them worn",
        _WITTING,
    ),
    _day(
        "l5_night_onset_h",
        "h",
        "Least active from",
        "Local clock time at which those five hours began, 0-24",
        "where l5_night begins",
        _WITTING,
        is_clock=True,
    ),
)

_IN_WEEK = "of the seven days up to the noon of the night"
RHYTHM_FEATURES: tuple[FeatureSpec, ...] = (
    _week(
        "is_7d",
        "",
        "Interdaily stability",
        f"How alike the days are, 0 to 1, {_IN_WEEK}; at least 5 days worn",
        "variance of the mean day / variance of all hours (population)",
        _WITTING,
    ),
    _week(
        "iv_7d",
        "",
        "Intradaily variability",
        f"How broken up rest and activity are from hour to hour, {_IN_WEEK}; at least 5 days worn",
        "mean squared difference of successive hours / their variance",
        _WITTING,
    ),
    _week(
        "ra_7d",
        "",
        "Relative amplitude",
        f"How far the active hours stand out from the resting ones, 0 to 1, {_IN_WEEK}",
        "(m10_7d - l5_7d) / (m10_7d + l5_7d)",
        _WITTING,
    ),
    _week(
        "l5_7d",
        _AS_RECORDED,
        "Least active 5 h, week",
        f"Activity of the quietest five hours in a row of the mean day {_IN_WEEK}",
        "lowest mean of 5 h in a row of the mean day",
        _WITTING,
    ),
    _week(
        "l5_onset_7d_h",
        "h",
        "Least active from, week",
        f"Local clock time at which those five hours of the mean day begin, {_IN_WEEK}",
        "where l5_7d begins, 0-24",
        _WITTING,
        is_clock=True,
    ),
    _week(
        "m10_7d",
        _AS_RECORDED,
        "Most active 10 h, week",
        f"Activity of the busiest ten hours in a row of the mean day {_IN_WEEK}",
        "highest mean of 10 h in a row of the mean day",
        _WITTING,
        is_log=True,
    ),
    _week(
        "m10_onset_7d_h",
        "h",
        "Most active from, week",
        f"Local clock time at which those ten hours of the mean day begin, {_IN_WEEK}",
        "where m10_7d begins, 0-24",
        _WITTING,
        is_clock=True,
    ),
    _week(
        "mesor_7d",
        _AS_RECORDED,
        "Level of activity",
        f"Activity about which its daily rhythm swings, {_IN_WEEK}",
        "M of x = M + A cos(2 pi (t - acrophase) / 24 h), least squares on minutes",
        _COSINOR,
        is_log=True,
    ),
    _week(
        "amplitude_7d",
        _AS_RECORDED,
        "Amplitude of activity",
        f"How far the daily rhythm lifts activity above its level, {_IN_WEEK}",
        "A of that fit",
        _COSINOR,
        is_log=True,
    ),
    _week(
        "acrophase_7d_h",
        "h",
        "Peak of activity",
        f"Local clock time at which the daily rhythm of activity is highest, {_IN_WEEK}",
        "acrophase of that fit, 0-24",
        _COSINOR,
        is_clock=True,
    ),
    _week(
        "cosinor_r2_7d",
        "",
        "R2 of activity",
        f"How much of the variance of the minutes the daily rhythm explains, 0-1, {_IN_WEEK}",
        "1 - residual / total sum of squares",
        _COSINOR,
    ),
)

REGULARITY_FEATURES: tuple[FeatureSpec, ...] = (
    _regular(
        "sri_7d",
        "",
        "Sleep regularity index",
        "How often somebody is in the same state, asleep or awake, as 24 h earlier; of one scorer alone",
        "200 P(same state 24 h apart) - 100 of the last 7 nights, at least 5 days of pairs",
        _SRI,
    ),
    _regular(
        "onset_sd_7d_min",
        "min",
        "Spread of falling asleep",
        "How much the time of falling asleep differs between the seven nights, at least five of them",
        "circular standard deviation of onset_h",
        _REGULAR,
    ),
    _regular(
        "offset_sd_7d_min",
        "min",
        "Spread of waking up",
        "How much the time of waking up differs between the seven nights, at least five of them",
        "circular standard deviation of offset_h",
        _REGULAR,
    ),
    _regular(
        "midpoint_7d_h",
        "h",
        "Middle of sleep, week",
        "Local clock time of the middle of sleep of the seven nights, at least five of them, 0-24",
        "circular mean of midpoint_h",
        _REGULAR,
        is_clock=True,
    ),
    _regular(
        "social_jet_lag_7d_h",
        "h",
        "Social jet lag",
        "How much later the middle of sleep is in nights that end on Saturday or Sunday; all 2 and 3 others",
        "circular mean of midpoint_h of those - of the others",
        _JET_LAG,
    ),
)

MOVEMENT_FEATURES: tuple[FeatureSpec, ...] = (
    *SLEEP_FEATURES,
    *STAGE_FEATURES,
    *NAP_FEATURES,
    *WEAR_FEATURES,
    *ACTIVITY_FEATURES,
    *RHYTHM_FEATURES,
    *REGULARITY_FEATURES,
)
"""`withheld_movement` says why one is missing."""

MOVEMENT_FAMILIES: tuple[str, ...] = ("sleep", "stages", "naps", "wear", "activity", "rhythm", "regularity")


def names_of(*families: str) -> tuple[str, ...]:
    """Return the names of the features of some families."""
    return tuple(spec.name for spec in MOVEMENT_FEATURES if spec.family in families)
