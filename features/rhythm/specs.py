"""Every value of the rest-activity rhythm, declared once: unit, formula, source, and what it needs."""

from features.epochs.specs import MovementSpec

_WITTING = "10.1016/0006-3223(90)90523-5"
_GONCALVES = "10.1016/j.smrv.2014.06.002"
_COSINOR = "10.1186/1742-4682-11-16"

RHYTHM_SPECS: tuple[MovementSpec, ...] = (
    MovementSpec("is", "", "variance of the mean day / variance of all hours (population)", _WITTING, 3, 0.5),
    MovementSpec("iv", "", "mean squared difference of successive hours / their variance", _WITTING, 2, 0.5),
    MovementSpec("ism", "", "mean of IS over bins of 1 to 60 min that divide a day", _GONCALVES, 3, 0.5),
    MovementSpec("ivm", "", "mean of IV over bins of 1 to 60 min that divide a day", _GONCALVES, 2, 0.5),
    MovementSpec("l5", "as recorded", "lowest mean of 5 h in a row of the mean day", _WITTING, 1, 0.5),
    MovementSpec("l5_onset_h", "h", "local clock time at which they begin, 0-24", _WITTING, 1, 0.5),
    MovementSpec("m10", "as recorded", "highest mean of 10 h in a row of the mean day", _WITTING, 1, 0.5),
    MovementSpec("m10_onset_h", "h", "local clock time at which they begin, 0-24", _WITTING, 1, 0.5),
    MovementSpec("ra", "", "(M10 - L5) / (M10 + L5)", _WITTING, 1, 0.5),
    MovementSpec("mesor", "as recorded", "M of x = M + A cos(2 pi (t - acrophase) / 24 h)", _COSINOR, 1, 0.5),
    MovementSpec("amplitude", "as recorded", "A of that fit", _COSINOR, 1, 0.5),
    MovementSpec("acrophase_h", "h", "local clock time of its peak, 0-24", _COSINOR, 1, 0.5),
    MovementSpec("cosinor_r2", "", "share of variance it explains, 0-1", _COSINOR, 1, 0.5),
    MovementSpec("mesor_se", "as recorded", "standard error of M", _COSINOR, 1, 0.5),
    MovementSpec("amplitude_se", "as recorded", "standard error of A", _COSINOR, 1, 0.5),
    MovementSpec("acrophase_se_h", "h", "standard error of the acrophase", _COSINOR, 1, 0.5),
    MovementSpec(
        "phase_shift_h", "h", "mean size of the change of acrophase from day to day", _COSINOR, 2, 0.5
    ),
)
