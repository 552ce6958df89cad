"""Environments of their own for the peers that benchmarks measure against."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

_HERE = Path(__file__).parent


def peer_python(name: str) -> Path:
    """Return the Python of an environment, made on first use from `benchmarks/peers/NAME.txt`."""
    wanted = _HERE / "peers" / f"{name}.txt"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "evenkeel"
    folder = cache / f"{name}-peers-{sha256(wanted.read_bytes()).hexdigest()[:8]}"
    python, done = folder / "bin" / "python", folder / "complete"
    if not done.exists():
        print(f"installing peers into {folder}, once ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", wanted], check=True)
        done.touch()
    return python
