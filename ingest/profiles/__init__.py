"""How to collect from each service a wearable may offer; `PROFILES` lists all, heart rate first."""

from ingest.profiles.colmi import ColmiProfile
from ingest.profiles.pinetime import PineTimeProfile
from ingest.profiles.polar import PolarProfile
from ingest.profiles.profile import Profile
from ingest.profiles.standard import (
    BatteryProfile,
    CurrentTimeProfile,
    DeviceInformationProfile,
    HeartRateProfile,
    PulseOximeterProfile,
    RunningProfile,
    ThermometerProfile,
)

PROFILES: tuple[Profile, ...] = (
    HeartRateProfile(),
    DeviceInformationProfile(),
    BatteryProfile(),
    RunningProfile(),
    PulseOximeterProfile(),
    ThermometerProfile(),
    CurrentTimeProfile(),
    PolarProfile(),
    PineTimeProfile(),
    ColmiProfile(),
)
"""In the order in which they start: every second of heart rate counts, the rest can wait for it."""
