"""Bring the registry's tables from one revision to another.

Import it where that is needed: Alembic takes as much memory as SQLAlchemy itself, and a second, and nearly
every time a registry is opened its tables are those of today.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def known_revisions() -> set[str]:
    """Return every revision that this version can make tables of."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def upgrade(connection: Connection, revision: str) -> None:
    """Bring the tables to a revision, `head` for the newest."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
