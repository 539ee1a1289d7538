"""The foundation: tenants, the gate, keys, audit, jobs, e-mail, rollups."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A record's content never changes; its place in the chain is set once. The owner of the tables
# is held to that as well: only dropping the trigger, itself visible, gets past it.
_POSTGRESQL_APPEND_ONLY = """
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.seq IS NULL AND NEW.seq IS NOT NULL
     AND (NEW.id, NEW.tenant_id, NEW.at, NEW.actor, NEW.action, NEW.target, NEW.data,
          NEW.request_id)
       IS NOT DISTINCT FROM
         (OLD.id, OLD.tenant_id, OLD.at, OLD.actor, OLD.action, OLD.target, OLD.data,
          OLD.request_id)
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'audit records are append-only';
END $$;
CREATE TRIGGER audit_records_append_only BEFORE UPDATE OR DELETE ON audit_records
  FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_records_no_truncate BEFORE TRUNCATE ON audit_records
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
"""
_SQLITE_APPEND_ONLY = (
    """
CREATE TRIGGER audit_records_no_update BEFORE UPDATE ON audit_records
WHEN NOT (OLD.seq IS NULL AND NEW.seq IS NOT NULL
  AND NEW.id IS OLD.id AND NEW.tenant_id IS OLD.tenant_id AND NEW.at IS OLD.at
  AND NEW.actor IS OLD.actor AND NEW.action IS OLD.action AND NEW.target IS OLD.target
  AND NEW.data IS OLD.data AND NEW.request_id IS OLD.request_id)
BEGIN
  SELECT RAISE(ABORT, 'audit records are append-only');
END
""",
    """
CREATE TRIGGER audit_records_no_delete BEFORE DELETE ON audit_records
BEGIN
  SELECT RAISE(ABORT, 'audit records are append-only');
END
""",
)


def upgrade() -> None:
    """Create every table and the triggers that keep the audit trail append-only."""
    op.create_table(
        "api_keys",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("last_used_at", UtcTime(), nullable=True),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_index("ix_api_keys_tenant_id_id", "api_keys", ["tenant_id", "id"], unique=False)
    op.create_table(
        "audit_heads",
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_audit_heads")),
    )
    op.create_table(
        "audit_records",
        sa.Column("id", Id(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("chain_hash", sa.LargeBinary(), nullable=True),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_records")),
        sa.UniqueConstraint("tenant_id", "seq", name=op.f("uq_audit_records_tenant_id_seq")),
    )
    op.create_index(
        "ix_audit_records_tenant_id_id", "audit_records", ["tenant_id", "id"], unique=False
    )
    op.create_index(
        "ix_audit_records_unsequenced",
        "audit_records",
        ["id"],
        unique=False,
        sqlite_where=sa.text("seq IS NULL"),
        postgresql_where=sa.text("seq IS NULL"),
    )
    op.create_table(
        "authorization_codes",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("session_id", Id(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("code_challenge", sa.Text(), nullable=False),
        sa.Column("auth_time", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_codes")),
    )
    op.create_index(
        op.f("ix_authorization_codes_expires_at"),
        "authorization_codes",
        ["expires_at"],
        unique=False,
    )
    op.create_table(
        "data_keys",
        sa.Column("id", Id(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_keys")),
        sa.UniqueConstraint("tenant_id", "version", name=op.f("uq_data_keys_tenant_id_version")),
    )
    op.create_table(
        "email_events",
        sa.Column("id", Id(), nullable=False),
        sa.Column("email_id", Id(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_events")),
    )
    op.create_index(
        op.f("ix_email_events_email_id_id"), "email_events", ["email_id", "id"], unique=False
    )
    op.create_table(
        "email_messages",
        sa.Column("id", Id(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("business_key", sa.Text(), nullable=True),
        sa.Column("sealed_content", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("job_id", Id(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("accepted_at", UtcTime(), nullable=True),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_messages")),
        sa.UniqueConstraint(
            "tenant_id", "business_key", name=op.f("uq_email_messages_tenant_id_business_key")
        ),
    )
    op.create_index(
        op.f("ix_email_messages_tenant_id_created_at"),
        "email_messages",
        ["tenant_id", "created_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_email_messages_tenant_id_id"), "email_messages", ["tenant_id", "id"], unique=False
    )
    op.create_index(
        op.f("ix_email_messages_tenant_id_state_id"),
        "email_messages",
        ["tenant_id", "state", "id"],
        unique=False,
    )
    op.create_table(
        "email_recipients",
        sa.Column("email_id", Id(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("response_code", sa.Integer(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("email_id", "position", name=op.f("pk_email_recipients")),
    )
    op.create_index(
        op.f("ix_email_recipients_tenant_id_address_email_id"),
        "email_recipients",
        ["tenant_id", "address", "email_id"],
        unique=False,
    )
    op.create_table(
        "email_settings",
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("from_address", sa.Text(), nullable=False),
        sa.Column("from_name", sa.Text(), nullable=False),
        sa.Column("smtp_host", sa.Text(), nullable=True),
        sa.Column("smtp_port", sa.Integer(), nullable=True),
        sa.Column("smtp_username", sa.Text(), nullable=True),
        sa.Column("sealed_password", sa.LargeBinary(), nullable=True),
        sa.Column("smtp_tls", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_email_settings")),
    )
    op.create_table(
        "email_templates",
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_email_templates")),
    )
    op.create_table(
        "idempotency_records",
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("headers", Json, nullable=False),
        sa.Column("sealed_by", Id(), nullable=False),
        sa.Column("sealed_body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "client", "key", name=op.f("pk_idempotency_records")),
    )
    op.create_index(
        op.f("ix_idempotency_records_expires_at"),
        "idempotency_records",
        ["expires_at"],
        unique=False,
    )
    op.create_table(
        "job_edges",
        sa.Column("parent_id", Id(), nullable=False),
        sa.Column("child_id", Id(), nullable=False),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("parent_id", "child_id", name=op.f("pk_job_edges")),
    )
    op.create_index("ix_job_edges_child_id", "job_edges", ["child_id"], unique=False)
    op.create_table(
        "job_graphs",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("dedup_key", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_graphs")),
        sa.UniqueConstraint(
            "tenant_id", "dedup_key", name=op.f("uq_job_graphs_tenant_id_dedup_key")
        ),
    )
    op.create_index(
        "ix_job_graphs_tenant_id_created_at",
        "job_graphs",
        ["tenant_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "job_tenants",
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("max_running", sa.BigInteger(), nullable=True),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=True),
        sa.Column("burst", sa.BigInteger(), nullable=True),
        sa.Column("open_at", UtcTime(), nullable=True),
        sa.Column("last_claim_at", UtcTime(), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.CheckConstraint("rate IS NULL OR rate > 0", name=op.f("ck_job_tenants_rate_positive")),
        sa.CheckConstraint("weight > 0", name=op.f("ck_job_tenants_weight_positive")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_job_tenants")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "job_workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("beat_at", UtcTime(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_workers")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "jobs",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("graph_id", Id(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("args", Json, nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("timeout_seconds", sa.Double(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("crashes", sa.BigInteger(), nullable=False),
        sa.Column("max_attempts", sa.BigInteger(), nullable=False),
        sa.Column("backoff_seconds", sa.Double(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("result", Json, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("dedup_key", sa.Text(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=True),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint(
            "tenant_id", "kind", "dedup_key", name=op.f("uq_jobs_tenant_id_kind_dedup_key")
        ),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.02", "fillfactor": "80"},
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["tenant_id", "due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "ix_jobs_finished_at",
        "jobs",
        ["finished_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["tenant_id", sa.literal_column("priority DESC"), "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "ix_jobs_running",
        "jobs",
        ["tenant_id", "worker"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_jobs_tenant_id_created_at", "jobs", ["tenant_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_jobs_tenant_id_state_created_at",
        "jobs",
        ["tenant_id", "state", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "metric_rollups",
        sa.Column("window_at", UtcTime(), nullable=False),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("refusals", sa.BigInteger(), nullable=False),
        sa.Column("seconds_sum", sa.Float(), nullable=False),
        sa.Column("buckets", Json, nullable=False),
        sa.PrimaryKeyConstraint(
            "window_at", "tenant_id", "process", name=op.f("pk_metric_rollups")
        ),
    )
    op.create_index(
        op.f("ix_metric_rollups_tenant_id_window_at"),
        "metric_rollups",
        ["tenant_id", "window_at"],
        unique=False,
    )
    op.create_table(
        "oauth_clients",
        sa.Column("id", Id(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("redirect_uris", Json, nullable=False),
        sa.Column("grant_types", Json, nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("tenant_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_clients")),
        sa.UniqueConstraint("client_id", name=op.f("uq_oauth_clients_client_id")),
    )
    op.create_index(
        "ix_oauth_clients_tenant_id_id", "oauth_clients", ["tenant_id", "id"], unique=False
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_revoked_tokens")),
    )
    op.create_index(
        op.f("ix_revoked_tokens_expires_at"), "revoked_tokens", ["expires_at"], unique=False
    )
    op.create_table(
        "sessions",
        sa.Column("id", Id(), nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_sessions_cookie_hash")),
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("public_jwk", Json, nullable=False),
        sa.Column("sealed_private_jwk", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("not_after", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    op.create_table(
        "tenants",
        sa.Column("id", Id(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("slug", name=op.f("uq_tenants_slug")),
    )
    op.create_table(
        "users",
        sa.Column("id", Id(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("platform_admin", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_users_issuer_subject")),
    )
    op.create_index(op.f("ix_users_email"), "users", ["email"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("tenant_id", Id(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_memberships_tenant_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_memberships_user_id")),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_user_id"), "memberships", ["user_id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRESQL_APPEND_ONLY)
    else:
        for trigger in _SQLITE_APPEND_ONLY:
            op.execute(trigger)


def downgrade() -> None:
    """Drop everything."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_records_no_truncate ON audit_records")
        op.execute("DROP TRIGGER audit_records_append_only ON audit_records")
        op.execute("DROP FUNCTION refuse_audit_change()")
    op.drop_index(op.f("ix_memberships_user_id"), table_name="memberships")
    op.drop_table("memberships")
    op.drop_index(op.f("ix_users_email"), table_name="users")
    op.drop_table("users")
    op.drop_table("tenants")
    op.drop_table("signing_keys")
    op.drop_index(op.f("ix_sessions_user_id"), table_name="sessions")
    op.drop_index(op.f("ix_sessions_expires_at"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(op.f("ix_revoked_tokens_expires_at"), table_name="revoked_tokens")
    op.drop_table("revoked_tokens")
    op.drop_index("ix_oauth_clients_tenant_id_id", table_name="oauth_clients")
    op.drop_table("oauth_clients")
    op.drop_index(op.f("ix_metric_rollups_tenant_id_window_at"), table_name="metric_rollups")
    op.drop_table("metric_rollups")
    op.drop_table("leases")
    op.drop_index("ix_jobs_tenant_id_state_created_at", table_name="jobs")
    op.drop_index("ix_jobs_tenant_id_created_at", table_name="jobs")
    op.drop_index(
        "ix_jobs_running",
        table_name="jobs",
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.drop_index(
        "ix_jobs_ready",
        table_name="jobs",
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.drop_index(
        "ix_jobs_finished_at",
        table_name="jobs",
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_jobs_due",
        table_name="jobs",
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.drop_table("jobs")
    op.drop_table("job_workers")
    op.drop_table("job_tenants")
    op.drop_index("ix_job_graphs_tenant_id_created_at", table_name="job_graphs")
    op.drop_table("job_graphs")
    op.drop_index("ix_job_edges_child_id", table_name="job_edges")
    op.drop_table("job_edges")
    op.drop_index(op.f("ix_idempotency_records_expires_at"), table_name="idempotency_records")
    op.drop_table("idempotency_records")
    op.drop_table("email_templates")
    op.drop_table("email_settings")
    op.drop_index(
        op.f("ix_email_recipients_tenant_id_address_email_id"), table_name="email_recipients"
    )
    op.drop_table("email_recipients")
    op.drop_index(op.f("ix_email_messages_tenant_id_state_id"), table_name="email_messages")
    op.drop_index(op.f("ix_email_messages_tenant_id_id"), table_name="email_messages")
    op.drop_index(op.f("ix_email_messages_tenant_id_created_at"), table_name="email_messages")
    op.drop_table("email_messages")
    op.drop_index(op.f("ix_email_events_email_id_id"), table_name="email_events")
    op.drop_table("email_events")
    op.drop_table("data_keys")
    op.drop_index(op.f("ix_authorization_codes_expires_at"), table_name="authorization_codes")
    op.drop_table("authorization_codes")
    op.drop_index(
        "ix_audit_records_unsequenced",
        table_name="audit_records",
        sqlite_where=sa.text("seq IS NULL"),
        postgresql_where=sa.text("seq IS NULL"),
    )
    op.drop_index("ix_audit_records_tenant_id_id", table_name="audit_records")
    op.drop_table("audit_records")
    op.drop_table("audit_heads")
    op.drop_index("ix_api_keys_tenant_id_id", table_name="api_keys")
    op.drop_table("api_keys")
