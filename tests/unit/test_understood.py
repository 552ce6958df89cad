"""What `evenkeel devices` lists is what the registries hold."""

import json

import pytest

import evenkeel
from ingest.decoders import DECODERS
from ingest.profiles import PROFILES
from ingest.profiles.profile import Profile
from ingest.understood import NO_RADIO, TRIED
from store.streams import STREAMS


@pytest.fixture
def listed(monkeypatch, capsys):
    def listed(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["evenkeel", "devices", *arguments])
        with pytest.raises(SystemExit) as ended:
            evenkeel.main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    return listed


def test_heart_rate_starts_first_and_no_service_has_two_profiles():
    services = [profile.service_uuid for profile in PROFILES]
    assert PROFILES[0].name == "Heart Rate"
    assert len(set(services)) == len(services) == len({profile.name for profile in PROFILES})


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_profile_says_what_it_brings_and_by_which_specification(profile: Profile):
    assert profile.service_uuid == profile.service_uuid.lower()
    assert len(profile.service_uuid) == 36
    assert profile.reads
    assert all(STREAMS[stream.name] is stream for stream in profile.streams)
    assert len(profile.reference) > 10
    assert profile.tried in TRIED


def test_every_profile_has_decoders_by_the_same_specification():
    references = {decoder.reference for decoder in DECODERS.values()}
    assert [profile.name for profile in PROFILES if profile.reference not in references] == []


def test_the_list_for_people_names_everything_and_claims_no_radio(listed):
    text = listed()
    for profile in PROFILES:
        assert f"{profile.name} (" in text
        assert profile.reference in text
    assert "Heart Rate (0x180D): heart rate, RR intervals" in text
    assert text.endswith(f"{NO_RADIO}\n")


def test_the_list_for_programs(listed):
    found = json.loads(listed("--format", "json"))
    assert [each["name"] for each in found] == [profile.name for profile in PROFILES]
    assert found[0]["streams"] == ["heart_rate", "rr_interval"]
    assert found[0]["service"] == "0x180D"
