"""A real PostgreSQL for tests: found among the Debian packages, started on a socket of its own, stopped."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

ABSENT = (
    "no PostgreSQL: install the Debian package postgresql, or name an empty one: EVENKEEL_TEST_POSTGRESQL_URL"
)
START_TIMEOUT_S = 60
_OWNER = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root


def postgresql_binaries() -> Path | None:
    """Return the folder of initdb and pg_ctl of the newest version."""
    found = [Path(path).resolve() for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return found[0].parent if found else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[sa.URL]:
    """URL of a server for all tests of a session."""
    if url := os.environ.get("EVENKEEL_TEST_POSTGRESQL_URL"):
        yield sa.make_url(url)
        return
    binaries = postgresql_binaries()
    if binaries is None:
        pytest.skip(ABSENT)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a socket's path must be short
        if _OWNER:
            shutil.chown(folder, _OWNER)
        initdb = [binaries / "initdb", "-D", f"{folder}/data", "-U", "tests", "--auth=trust", "--no-sync"]
        subprocess.run([*initdb, "--encoding=UTF8"], user=_OWNER, cwd=folder, check=True, capture_output=True)
        server = [binaries / "postgres", "-D", f"{folder}/data", "-k", folder, "-c", "listen_addresses="]
        leashed = ["/bin/sh", "-c", '"$@" </dev/null >log 2>&1 & cat >/dev/null; kill -QUIT $!; wait', "sh"]
        leash = subprocess.Popen([*leashed, *server, "-F"], user=_OWNER, cwd=folder, stdin=subprocess.PIPE)
        ready = [binaries / "pg_isready", "-h", folder, "-q"]
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < give_up_s, Path(folder, "log").read_text()
            time.sleep(0.05)
        try:
            yield sa.URL.create("postgresql+psycopg", "tests", query={"host": folder}, database="postgres")
        finally:
            leash.communicate()  # it dies with its standard input, however we end


@pytest.fixture
def empty_postgresql(postgresql: sa.URL) -> sa.URL:
    """URL of a database of one test."""
    engine = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = f"t{connection.execute(sa.text('SELECT txid_current()')).scalar()}"
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgresql.set(database=name)
