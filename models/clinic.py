"""What the model would have raised over nights of the store, and a stored flag, in lines to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from configs.settings import FlagSettings
from models.attribution import rest_of
from models.channels import NAMES, channel_named
from models.flagging import flags_of
from models.verdict import Verdict
from store.registry.flags import FlagEvent, StoredFlag
from store.types import Contribution, Flag, FlagKind

_WHAT: Mapping[FlagKind, str] = MappingProxyType[FlagKind, str](
    {
        "change": "a sustained change from this person's own normal",
        "contact": "data are being lost, which is about contact or the wearable",
    }
)
_ASK: Mapping[FlagKind, str] = MappingProxyType[FlagKind, str](
    {
        "change": "Ask about illness, alcohol, travel, a new medicine or a changed sensor first. Not a "
        "diagnosis, not for emergencies.",
        "contact": "Ask whether it is charged, worn and near its gateway, and whether the person wants to go "
        "on. Not for emergencies.",
    }
)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the model would have raised, and how many nights it could judge, or why not."""

    flags: tuple[Flag, ...]
    states: dict[str, int]


def replayed(verdict: Verdict | None, settings: FlagSettings) -> Replayed:
    """Return what would have been raised when, each night judged with what was there by then."""
    if verdict is None:
        return Replayed((), {})
    states = verdict.states()
    return Replayed(
        tuple(flags_of(verdict, settings)),
        {state: states.count(state) for state in sorted(set(states))},
    )


def chance_words(chance_frac: float | None) -> str:
    """Say how often such a flag is chance."""
    if chance_frac is None:
        return "nobody can say how many such flags are chance"
    of_ten = min(10, max(0, round(10 * chance_frac)))
    return f"about {of_ten} in 10 such flags are chance"


def explained(stored: StoredFlag, history: Sequence[FlagEvent] = ()) -> list[str]:
    """Return a flag in lines: what changed, since when, against which own values, how complete, how sure."""
    flag = stored.flag
    lines = [
        f"{flag.subject_id}, night {flag.night}: {_WHAT[flag.kind]}, {stored.state}",
        f"Since {flag.since}; {flag.reason}",
        *map(_contribution, flag.contributions),
    ]
    if flag.kind == "change" and flag.model_version:
        rest = rest_of(flag.score, [each.share for each in flag.contributions])
        lines.append(
            f"  {rest:+.2f}  how rarely any change is met, and how far its sizes are from the usual ones"
        )
    made_by = " ".join(filter(None, (flag.detector_id, flag.model_version)))
    lines += [
        f"Data: {100 * flag.coverage_frac:.0f} % of the judged nights had enough",
        f"Score {flag.score:.2f}, threshold {flag.threshold:.2f}, tier {flag.tier}",
        f"Made by {made_by}, settings {flag.config_hash}",
    ]
    if flag.kind == "change":
        words = chance_words(flag.chance_frac)
        lines.append(f"{words[0].upper()}{words[1:]} (how that was measured: docs/evidence.md)")
    lines += [f"Got worse: {event.reason}" for event in history if event.action == "worsened"]
    lines.append(_ASK[flag.kind])
    return lines


def _contribution(each: Contribution) -> str:
    outside = f"outside on {each.nights_outside} of {each.nights_judged} nights"
    unit = f" {channel_named(each.feature).unit}" if each.feature in NAMES else ""
    return (
        f"  {each.share:+.2f}  {each.feature}: {each.value:.2f}{unit}, usual {each.usual:.2f}, "
        f"own band {each.low:.2f} to {each.high:.2f}; {outside}, {each.z:+.1f} SD"
    )
