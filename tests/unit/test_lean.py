"""A collector runs for months without what it never uses."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DRAINED = """
import sys
import evenkeel
sys.argv = ["evenkeel", "--home", sys.argv[1], "collect", "--drain"]
try:
    evenkeel.main()
finally:
    print(sorted({"pandas", "alembic", "pyarrow.dataset", "numba"} & sys.modules.keys()))
    print(__import__("pandas").__name__)
"""


def drained(home: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", DRAINED, str(home)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_collector_loads_neither_pandas_nor_what_migrates(tmp_path: Path):
    drained(tmp_path)  # makes the registry
    said, loaded, afterwards = drained(tmp_path)
    assert said.startswith("0 frames spooled")
    assert loaded == "[]"
    assert afterwards == "pandas"
