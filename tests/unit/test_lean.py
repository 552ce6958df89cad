"""A collector runs for months without what it never uses, and so does a job that finds nothing to do."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import sys
import evenkeel
sys.argv = ["evenkeel", "--home", *sys.argv[1:]]
try:
    evenkeel.main()
finally:
    print(sorted({"pandas", "alembic", "pyarrow.dataset", "numba"} & sys.modules.keys()))
    print(__import__("pandas").__name__)
"""


def said_by(home: Path, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(home), *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_collector_loads_neither_pandas_nor_what_migrates(tmp_path: Path):
    said_by(tmp_path, "collect", "--drain")  # makes the registry
    said, loaded, afterwards = said_by(tmp_path, "collect", "--drain")
    assert said.startswith("0 frames spooled")
    assert loaded == "[]"
    assert afterwards == "pandas"


def test_a_run_with_nothing_to_compute_loads_nothing_that_computes(tmp_path: Path):
    said_by(tmp_path, "features", "run")  # makes the registry
    said, loaded, _ = said_by(tmp_path, "features", "run")
    assert said.startswith("0 nights computed")
    assert loaded == "[]"
