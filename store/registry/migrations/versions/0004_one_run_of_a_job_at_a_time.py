"""Leases: one run of a job at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring up to date."""
    op.create_table(
        "job_lease",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("taken_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_job_lease")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("job_lease")
