"""Temporary passwords, users who may not sign in, identities at a provider, and where a session came from."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    op.add_column("user", sa.Column("password_until_ns", sa.BigInteger(), nullable=True))
    op.add_column("user", sa.Column("is_disabled", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("session", sa.Column("address", sa.String(64), nullable=False, server_default=""))
    op.create_table(
        "user_identity",
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.user_id"], name=op.f("fk_user_identity_user_id")),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_user_identity")),
    )
