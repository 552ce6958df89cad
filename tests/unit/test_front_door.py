"""The command as somebody types it: refusals are one sentence, bugs are kept for a report."""

import pytest

import evenkeel
from store.registry.people import People


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["evenkeel", "--home", str(tmp_path / "home"), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            evenkeel.main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["subject", "add", "a b", "--zone", "UTC"], "cannot be a subject id"),
        (["subject", "list", "--format", "xml"], "'xml' is not one of"),
        (["subject", "add", "S1"], "Missing option '--zone'. See: evenkeel subject add --help"),
        (["pause", "S1"], "unexpected extra argument(s) (S1). See: evenkeel pause --help"),
        (["sensor", "pair", "my watch", "--subject", "S1"], "no Bluetooth address"),
        (["sensor", "pair", "C0:11:22:33:44:55", "--subject", "S1"], "evenkeel subject add S1"),
        (["user", "add", "wren", "--role", "lead", "--password-file", "/nowhere"], "cannot be read"),
        (["samples", "--subject", "S1", "--stream", "heart_rate", "--out", "x.csv", "--from", "0001-01-01"],
         "needed is a year from 1678"),
        (["features", "run", "--subject", "S1"], "No subject is called 'S1'"),
        (["flags", "run", "--subject", "S1"], "No subject is called 'S1'"),
        (["nonsense"], "No such command 'nonsense'. See: evenkeel --help"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence_and_status_2(run, arguments, said):
    status, _, err = run(*arguments)
    assert status == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_password_keeps_its_spaces_and_a_case_load_is_said(run, tmp_path):
    (tmp_path / "password").write_text("  with spaces at both ends  \n")
    added = ("user", "add", "wren", "--role", "clinician", "--password-file", tmp_path / "password")
    assert run(*added)[1] == "User wren, role clinician, sees no patient yet (--patients)\n"
    run("subject", "add", "S1", "--zone", "UTC")
    assert run(*added, "--patients", "S1")[1] == "User wren, role clinician, sees S1\n"
    from store.installation import Installation

    with Installation(tmp_path / "home").registry() as registry:
        assert registry.accounts.check_password("wren", "  with spaces at both ends  ", "::1") is not None


def test_a_bug_is_kept_for_its_owner_in_the_home_that_was_asked_for(run, tmp_path, monkeypatch):
    def break_down(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(People, "subjects", break_down)
    status, _, err = run("subject", "list")
    kept = tmp_path / "home" / "bug.txt"
    assert status == 1
    assert str(kept) in err
    assert "ZeroDivisionError" in kept.read_text()
    assert "Traceback" not in err
    assert kept.stat().st_mode & 0o077 == 0
