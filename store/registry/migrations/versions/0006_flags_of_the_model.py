"""What a flag of the model says of itself: kind, tier, version, share of chance, and when it got worse."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    op.add_column("flag", sa.Column("kind", sa.String(16), nullable=False, server_default="change"))
    op.add_column("flag", sa.Column("tier", sa.String(8), nullable=False, server_default="review"))
    op.add_column("flag", sa.Column("model_version", sa.String(64), nullable=False, server_default=""))
    op.add_column("flag", sa.Column("chance_frac", sa.Float(), nullable=True))
    op.add_column("flag", sa.Column("worse_night", sa.String(10), nullable=True))
    op.add_column("flag", sa.Column("worse_score", sa.Float(), nullable=True))
