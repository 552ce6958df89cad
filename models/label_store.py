"""The people and labels of an installation: nights, scales, and how flags ended."""

from features.nights import NIGHT_STREAM, read_nights
from models.labels import JudgedFlag, Labelled, labelled, labels_of
from models.nightly import days_of_nights, sensor_names
from store.registry.registry import Registry
from store.timeseries import TimeSeriesStore


def read_labelled(store: TimeSeriesStore, registry: Registry) -> list[Labelled]:
    """Return everybody who has nights with their labelled episodes; simulated people are left out."""
    real = {subject.subject_id for subject in registry.people.subjects() if not subject.is_simulated}
    nights = [read_nights(store, who) for who in store.subjects(NIGHT_STREAM) if who in real]
    names = sensor_names(registry.people.sensors())
    ended = registry.flags.outcomes()
    flags = [
        JudgedFlag(one.flag.subject_id, one.flag.since, ended[one.flag_id])
        for one in registry.flags.all()
        if one.flag.kind == "change" and one.state == "resolved" and one.flag_id in ended
    ]
    labels = labels_of(registry.assessments.all(), flags)
    return labelled([days_of_nights(each, names) for each in nights if len(each)], labels)
