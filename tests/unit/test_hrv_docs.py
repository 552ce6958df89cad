"""The tables of docs/hrv.md are those of the code."""

import subprocess
import sys
from pathlib import Path

from features.hrv import GATES, HRV_SPECS, RECORD_SPECS

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def test_the_tables_of_the_manual_are_made_from_the_declarations():
    tool = REPOSITORY / "tools" / "write-hrv-reference"
    assert subprocess.run([sys.executable, str(tool), "--check"], check=False).returncode == 0


def test_every_value_has_a_source_a_gate_and_a_name_of_its_own():
    specs = (*HRV_SPECS, *RECORD_SPECS)
    assert len({spec.name for spec in specs}) == len(specs)
    assert all(spec.doi.startswith("10.") and spec.gate in GATES and spec.formula for spec in specs)
