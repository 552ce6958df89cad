"""Tables of the registry. A change here needs a migration in `migrations/versions`; a test compares both."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

subject = Table(
    "subject",
    metadata,
    Column("subject_id", String(64), primary_key=True),
    Column("display_name", Text, nullable=False, default=""),
    Column("is_simulated", Boolean, nullable=False, default=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("name_key_id", String(16), nullable=True),
)

subject_zone = Table(
    "subject_zone",
    metadata,
    Column("subject_id", String(64), ForeignKey("subject.subject_id"), primary_key=True),
    Column("from_ns", BigInteger, primary_key=True),
    Column("zone", String(64), nullable=False),
)

consent = Table(
    "consent",
    metadata,
    Column("consent_id", Integer, primary_key=True),
    Column("subject_id", String(64), ForeignKey("subject.subject_id"), nullable=False),
    Column("stream", String(32), nullable=False),
    Column("is_granted", Boolean, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("recorded_by", String(80), nullable=False),
    Column("recorded_ns", BigInteger, nullable=False),
    Index("ix_consent_subject_id", "subject_id", "at_ns"),
)

sensor = Table(
    "sensor",
    metadata,
    Column("sensor_id", String(64), primary_key=True),
    Column("name", Text, nullable=False, default=""),
    Column("model", Text, nullable=False, default=""),
    Column("manufacturer", Text, nullable=False, default=""),
    Column("firmware", Text, nullable=False, default=""),
    Column("is_simulated", Boolean, nullable=False, default=False),
)

wearing = Table(
    "wearing",
    metadata,
    Column("sensor_id", String(64), ForeignKey("sensor.sensor_id"), primary_key=True),
    Column("from_ns", BigInteger, primary_key=True),
    Column("subject_id", String(64), ForeignKey("subject.subject_id"), nullable=False),
    Column("to_ns", BigInteger, nullable=True),
    Index("ix_wearing_subject_id", "subject_id"),
)

user = Table(
    "user",
    metadata,
    Column("user_id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text, nullable=True),
    Column("sees_all", Boolean, nullable=False, default=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("password_until_ns", BigInteger, nullable=True),
    Column("is_disabled", Boolean, nullable=False, default=False, server_default=false()),
)

user_identity = Table(
    "user_identity",
    metadata,
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("user_id", Integer, ForeignKey("user.user_id"), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
)

case_load = Table(
    "case_load",
    metadata,
    Column("user_id", Integer, ForeignKey("user.user_id"), primary_key=True),
    Column("subject_id", String(64), ForeignKey("subject.subject_id"), primary_key=True),
)

team = Table(
    "team",
    metadata,
    Column("team_id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("created_ns", BigInteger, nullable=False),
)

team_member = Table(
    "team_member",
    metadata,
    Column("team_id", Integer, ForeignKey("team.team_id"), primary_key=True),
    Column("user_id", Integer, ForeignKey("user.user_id"), primary_key=True),
)

team_patient = Table(
    "team_patient",
    metadata,
    Column("team_id", Integer, ForeignKey("team.team_id"), primary_key=True),
    Column("subject_id", String(64), ForeignKey("subject.subject_id"), primary_key=True),
)

session = Table(
    "session",
    metadata,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("user_id", Integer, ForeignKey("user.user_id"), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("seen_ns", BigInteger, nullable=False),
    Column("address", String(64), nullable=False, default="", server_default=""),
)

sign_in_link = Table(
    "sign_in_link",
    metadata,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("user_id", Integer, ForeignKey("user.user_id"), nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

sign_in_failure = Table(
    "sign_in_failure",
    metadata,
    Column("failure_id", Integer, primary_key=True),
    Column("key", String(160), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Index("ix_sign_in_failure_key", "key", "at_ns"),
)

flag = Table(
    "flag",
    metadata,
    Column("flag_id", Integer, primary_key=True),
    Column("subject_id", String(64), ForeignKey("subject.subject_id"), nullable=False),
    Column("night", String(10), nullable=False),
    Column("since", String(10), nullable=False),
    Column("score", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("direction", String(8), nullable=False),
    Column("contributions", Text, nullable=False),
    Column("coverage_frac", Float, nullable=False),
    Column("detector_id", String(64), nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", String(16), nullable=False, default="open"),
    Column("raised_ns", BigInteger, nullable=False),
    Column("assigned_to", String(80), nullable=True),
    Column("snoozed_until_ns", BigInteger, nullable=True),
    Column("kind", String(16), nullable=False, default="change", server_default="change"),
    Column("tier", String(8), nullable=False, default="review", server_default="review"),
    Column("model_version", String(64), nullable=False, default="", server_default=""),
    Column("chance_frac", Float, nullable=True),
    # The newest night on which it got worse, and the score then; null while it did not.
    Column("worse_night", String(10), nullable=True),
    Column("worse_score", Float, nullable=True),
    Index("ix_flag_subject_id", "subject_id", "night"),
)

flag_event = Table(
    "flag_event",
    metadata,
    Column("event_id", Integer, primary_key=True),
    Column("flag_id", Integer, ForeignKey("flag.flag_id"), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(16), nullable=False),
    Column("assigned_to", String(80), nullable=True),
    Column("until_ns", BigInteger, nullable=True),
    Column("reason", Text, nullable=False, default=""),
    Column("outcome", String(32), nullable=True),
    Index("ix_flag_event_flag_id", "flag_id"),
)

assessment = Table(
    "assessment",
    metadata,
    Column("subject_id", String(64), ForeignKey("subject.subject_id"), primary_key=True),
    Column("instrument", String(16), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("item_scores", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("recorded_by", String(80), nullable=False),
    Column("recorded_ns", BigInteger, nullable=False),
)

annotation = Table(
    "annotation",
    metadata,
    Column("annotation_id", Integer, primary_key=True),
    Column("subject_id", String(64), ForeignKey("subject.subject_id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("from_day", String(10), nullable=False),
    Column("to_day", String(10), nullable=True),
    Column("text", Text, nullable=False),
    Column("text_key_id", String(16), nullable=True),
    Column("recorded_by", String(80), nullable=False),
    Column("recorded_ns", BigInteger, nullable=False),
    Index("ix_annotation_subject_id", "subject_id"),
)

# Ids that are never given again. No more is kept of whoever had them.
erasure = Table(
    "erasure",
    metadata,
    Column("subject_id", String(64), primary_key=True),
    Column("erased_ns", BigInteger, nullable=False),
    Column("erased_by", String(80), nullable=False),
)

job_run = Table(
    "job_run",
    metadata,
    Column("job_id", String(32), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger, nullable=True),
    Column("code_version", String(64), nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("summary", Text, nullable=False, default=""),
)

job_lease = Table(
    "job_lease",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("taken_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

replay = Table(
    "replay",
    metadata,
    Column("sensor_id", String(64), ForeignKey("sensor.sensor_id"), primary_key=True),
    Column("start_ns", BigInteger, primary_key=True),
)

# Triggers of migration 0002 refuse to change or delete its rows.
audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject_id", String(64), nullable=False, default=""),
    Column("is_allowed", Boolean, nullable=False),
    Column("address", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("previous_hash", String(64), nullable=False),
    Column("entry_hash", String(64), nullable=False),
)
