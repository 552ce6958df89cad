"""What a scan says of wearables, heard or not."""

from ingest.profiles import PROFILES
from ingest.radio import Sighting
from ingest.sightings import seen_wearables, silent_wearables

HEART_RATE = "0000180d-0000-1000-8000-00805f9b34fb"


def test_worn_wearables_that_nobody_heard_are_named():
    worn = {"C0:00:00:00:00:02": "S2", "C0:00:00:00:00:01": "S1"}
    heard = [Sighting("c0:00:00:00:00:01", "Strap", -50, (HEART_RATE,))]
    seen = seen_wearables(heard, PROFILES, worn)
    assert [each.subject_id for each in seen] == ["S1"]
    assert silent_wearables(seen, worn) == ["C0:00:00:00:00:02 (S2)"]
    assert silent_wearables(seen, {}) == []
