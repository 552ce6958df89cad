"""Consents, care teams, history of flags, assessments, annotations, sealed names, an audit log that stays."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_APPEND_ONLY = "the audit log only grows"
_SQLITE = [
    f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
    f"BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END"
    for verb in ("UPDATE", "DELETE")
]
_POSTGRESQL = [
    f"""CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '{_APPEND_ONLY}' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit EXECUTE FUNCTION audit_refuse()",
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit EXECUTE FUNCTION audit_refuse()",
]


def upgrade() -> None:
    """Apply."""
    op.add_column("subject", sa.Column("name_key_id", sa.String(16), nullable=True))
    op.add_column("flag", sa.Column("assigned_to", sa.String(80), nullable=True))
    op.add_column("flag", sa.Column("snoozed_until_ns", sa.BigInteger(), nullable=True))
    _make_consents()
    _make_care()
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE if is_sqlite else _POSTGRESQL:
        op.execute(statement)


def _make_consents() -> None:
    op.create_table(
        "consent",
        sa.Column("consent_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("stream", sa.String(32), nullable=False),
        sa.Column("is_granted", sa.Boolean(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(80), nullable=False),
        sa.Column("recorded_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.subject_id"], name=op.f("fk_consent_subject_id")),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_consent")),
    )
    op.create_index("ix_consent_subject_id", "consent", ["subject_id", "at_ns"])
    # Who was collected from until now had agreed to all of it: there was no other way to take part.
    op.execute(
        "INSERT INTO consent (subject_id, stream, is_granted, at_ns, recorded_by, recorded_ns) "
        "SELECT subject_id, 'all', true, created_ns, 'migration 0002', created_ns FROM subject"
    )


def _make_care() -> None:
    op.create_table(
        "team",
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("name", name=op.f("uq_team_name")),
        sa.PrimaryKeyConstraint("team_id", name=op.f("pk_team")),
    )
    op.create_table(
        "team_member",
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["team.team_id"], name=op.f("fk_team_member_team_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.user_id"], name=op.f("fk_team_member_user_id")),
        sa.PrimaryKeyConstraint("team_id", "user_id", name=op.f("pk_team_member")),
    )
    op.create_table(
        "team_patient",
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["team.team_id"], name=op.f("fk_team_patient_team_id")),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subject.subject_id"], name=op.f("fk_team_patient_subject_id")
        ),
        sa.PrimaryKeyConstraint("team_id", "subject_id", name=op.f("pk_team_patient")),
    )
    op.create_table(
        "flag_event",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("flag_id", sa.Integer(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("assigned_to", sa.String(80), nullable=True),
        sa.Column("until_ns", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=True),
        sa.ForeignKeyConstraint(["flag_id"], ["flag.flag_id"], name=op.f("fk_flag_event_flag_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_flag_event")),
    )
    op.create_index("ix_flag_event_flag_id", "flag_event", ["flag_id"])
    op.create_table(
        "assessment",
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("instrument", sa.String(16), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("item_scores", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("recorded_by", sa.String(80), nullable=False),
        sa.Column("recorded_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subject.subject_id"], name=op.f("fk_assessment_subject_id")
        ),
        sa.PrimaryKeyConstraint("subject_id", "instrument", "day", name=op.f("pk_assessment")),
    )
    op.create_table(
        "annotation",
        sa.Column("annotation_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("from_day", sa.String(10), nullable=False),
        sa.Column("to_day", sa.String(10), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_key_id", sa.String(16), nullable=True),
        sa.Column("recorded_by", sa.String(80), nullable=False),
        sa.Column("recorded_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subject.subject_id"], name=op.f("fk_annotation_subject_id")
        ),
        sa.PrimaryKeyConstraint("annotation_id", name=op.f("pk_annotation")),
    )
    op.create_index("ix_annotation_subject_id", "annotation", ["subject_id"])


def downgrade() -> None:
    """Take back."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_update")
        op.execute("DROP TRIGGER audit_no_delete")
    else:
        op.execute("DROP TRIGGER audit_no_change ON audit")
        op.execute("DROP TRIGGER audit_no_truncate ON audit")
        op.execute("DROP FUNCTION audit_refuse()")
    for table in ("annotation", "assessment", "flag_event", "team_patient", "team_member", "team", "consent"):
        op.drop_table(table)
    op.drop_column("flag", "snoozed_until_ns")
    op.drop_column("flag", "assigned_to")
    op.drop_column("subject", "name_key_id")
