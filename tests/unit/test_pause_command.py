"""Pausing, resuming and passing a sensor on, as somebody types it."""

from pathlib import Path

import pytest

import evenkeel
from store.clock import SystemClock
from store.installation import Installation
from store.units import NS_PER_S

SENSOR = "C0:11:22:33:44:55"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["evenkeel", "--home", str(tmp_path), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            evenkeel.main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    for subject in ("S1", "S2"):
        run("subject", "add", subject, "--zone", "UTC")
    return run


def test_a_pause_is_a_file_that_can_be_read(run, tmp_path: Path) -> None:
    assert run("pause", "--subject", "S1")[1] == "S1 paused until evenkeel resume\n"
    assert (tmp_path / "pause").read_text() == "S1\n"
    assert run("pause", "--subject", "S2", "--for", "2h")[1].startswith("S2 paused until 20")
    first, second = (tmp_path / "pause").read_text().splitlines()
    assert (first, second.split()[0]) == ("S1", "S2")
    assert run("resume", "--subject", "S1")[1] == "S1 no longer paused\n"
    assert (tmp_path / "pause").read_text() == second + "\n"
    assert run("resume")[1] == "Everybody no longer paused\n"
    assert not (tmp_path / "pause").exists()


def test_everybody_pauses_at_once_and_resumes_at_once(run, tmp_path: Path) -> None:
    assert run("pause")[1] == "Everybody paused until evenkeel resume\n"
    assert (tmp_path / "pause").read_text() == "*\n"
    status, _, said = run("resume", "--subject", "S1")
    assert (status, "resume all" in said) == (2, True)
    assert run("doctor")[1].count("everybody paused") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause", "--subject", "S9"], "No subject is called 'S9'"),
        (["pause", "--for", "long"], "needed is one such as 90min"),
        (["resume", "--subject", "S9"], "No subject is called 'S9'"),
        (["sensor", "unpair", SENSOR], "Nobody wears"),
    ],
)
def test_refusals(run, arguments: list[str], said: str) -> None:
    status, _, err = run(*arguments)
    assert status == 2
    assert said in err


def test_a_sensor_worn_before_it_is_paired(run, tmp_path: Path) -> None:
    pair = ("sensor", "pair", SENSOR, "--subject", "S1", "--since")
    assert run(*pair, "2026-01-05T20:00Z")[1] == f"S1 wears {SENSOR} since 2026-01-05T20:00:00Z\n"
    assert run(*pair, "2026-01-06T20:00Z")[1] == f"S1 wears {SENSOR} since 2026-01-05T20:00:00Z\n"
    for time in ("2200-01-01", "1969-12-31", "monday"):
        status, _, err = run(*pair, time)
        assert status == 2
        assert "needed is a time" in err
    with Installation(tmp_path).registry() as registry:
        (worn,) = registry.people.wearings()
    assert (worn.subject_id, worn.from_ns) == ("S1", 1_767_643_200 * NS_PER_S)


def test_a_sensor_passed_on_changes_hands_a_little_later(run, tmp_path: Path) -> None:
    assert run("sensor", "pair", SENSOR, "--subject", "S1")[1] == f"S1 wears {SENSOR} from now on\n"
    assert run("sensor", "pair", SENSOR, "--subject", "S2")[1] == f"S2 wears {SENSOR} in 5 s, S1 no longer\n"
    assert run("sensor", "unpair", SENSOR)[1] == f"S2 no longer wears {SENSOR} in 5 s\n"
    now_ns = SystemClock().now_ns()
    with Installation(tmp_path).registry() as registry:
        first, second = registry.people.wearings(0)
    assert first.to_ns is not None
    assert second.to_ns is not None
    assert first.from_ns < now_ns < first.to_ns == second.from_ns <= second.to_ns < now_ns + 6 * NS_PER_S
