"""Every value of a day's movement, declared once: unit, formula, source, and what it needs."""

from features.epochs.specs import MovementSpec

_TOTALS = "10.1016/j.ypmed.2017.05.030"
_BOUTS = "10.1101/182337"
_CADENCE = "10.1136/bjsports-2017-097628"

ACTIVITY_SPECS: tuple[MovementSpec, ...] = (
    MovementSpec("wear_min", "min", "worn minutes", "10.1249/MSS.0b013e3181ed61a3"),
    MovementSpec("steps", "", "sum of steps", _CADENCE),
    MovementSpec("tac", "as recorded", "sum x (total activity count)", _TOTALS),
    MovementSpec("tlac", "", "sum ln(1 + x) (total log activity count)", _TOTALS),
    MovementSpec("active_min", "min", "minutes of x >= active threshold", _BOUTS),
    MovementSpec("sedentary_min", "min", "minutes of x < active threshold", _BOUTS),
    MovementSpec("mvpa_min", "min", "minutes of x >= threshold of moderate activity", _CADENCE),
    MovementSpec("mvpa_bouted_min", "min", "those in runs of 10 min or more", "10.1249/mss.0b013e31815a51b3"),
    MovementSpec("active_bouts", "", "runs of active minutes", _BOUTS),
    MovementSpec("sedentary_bouts", "", "runs of sedentary minutes", _BOUTS),
    MovementSpec("mean_active_bout_min", "min", "active_min / active_bouts", _BOUTS),
    MovementSpec("mean_sedentary_bout_min", "min", "sedentary_min / sedentary_bouts", _BOUTS),
    MovementSpec("astp", "1/min", "active_bouts / active_min (active to sedentary)", _BOUTS),
    MovementSpec("satp", "1/min", "sedentary_bouts / sedentary_min (sedentary to active)", _BOUTS),
    MovementSpec("longest_sedentary_min", "min", "longest run of sedentary minutes", _BOUTS),
    MovementSpec(
        "intensity_gradient",
        "",
        "slope of ln(minutes) on ln(mg), bins of 25 mg from 0 to 4 g",
        "10.1249/MSS.0000000000001561",
    ),
    MovementSpec("intensity_intercept", "", "intercept of that line", "10.1249/MSS.0000000000001561"),
    MovementSpec(
        "intensity_r2", "", "share of variance that line explains, 0-1", "10.1249/MSS.0000000000001561"
    ),
)
