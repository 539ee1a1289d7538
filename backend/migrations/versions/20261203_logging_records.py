"""Logs: lines with their words' index, what came of each tenant, and what a tenant says of them.

The words' index is none that the models know: on SQLite an FTS5 table without contents of its own,
kept by triggers, on PostgreSQL a table that nobody but its owner may look into, asked by a function
(record 0035).
"""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261203_logging_records"
down_revision = "20261202_compliance_walks"
branch_labels = None
depends_on = None

_MAY_LACK = ("trace_id", "span_id", "request_id", "workflow_id", "execution_id")

# A tenant's rows are a stretch of row ids: its number above 40 bits for the line's own. A number is
# given once and never again, whatever becomes of the tenant.
_SQLITE = (
    (
        "CREATE VIRTUAL TABLE log_records_words USING fts5("
        "message, content='', tokenize=\"unicode61 remove_diacritics 0\")"
    ),
    (
        "CREATE TABLE log_records_numbers ("
        "number INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id CHAR(32) NOT NULL UNIQUE)"
    ),
    (
        "CREATE TRIGGER log_heads_number AFTER INSERT ON log_heads BEGIN "
        "INSERT OR IGNORE INTO log_records_numbers (tenant_id) VALUES (new.tenant_id); END"
    ),
    (
        "CREATE TRIGGER log_records_words_new AFTER INSERT ON log_records BEGIN "
        "INSERT INTO log_records_words (rowid, message) VALUES ({new}, new.message); END"
    ),
    (
        "CREATE TRIGGER log_records_words_gone AFTER DELETE ON log_records BEGIN "
        "INSERT INTO log_records_words (log_records_words, rowid, message) "
        "VALUES ('delete', {old}, old.message); END"
    ),
    (
        "CREATE TRIGGER log_records_words_changed AFTER UPDATE OF message ON log_records BEGIN "
        "INSERT INTO log_records_words (log_records_words, rowid, message) "
        "VALUES ('delete', {old}, old.message); "
        "INSERT INTO log_records_words (rowid, message) VALUES ({new}, new.message); END"
    ),
)
_PLACE = (
    "(SELECT number FROM log_records_numbers WHERE tenant_id = {row}.tenant_id) << 40 | {row}.seq"
)

# Row-level security without a policy: the service's role sees no row, and the owner, whom nothing
# forces, is not held up by conditions that no index of words may pass. The tenant is one of the
# words, so that the index itself keeps to its lines.
_POSTGRESQL = (
    # Signs of ASCII, and not what a locale calls no letter: in C that is all beyond ASCII.
    r"""
    CREATE FUNCTION words_of(message text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT to_tsvector('pg_catalog.simple',
        regexp_replace(message, '[\x01-\x2F\x3A-\x40\x5B-\x60\x7B-\x7F]+', ' ', 'g')) $$
    """,
    """
    CREATE TABLE log_records_words (tenant_id uuid NOT NULL, id uuid NOT NULL,
        words tsvector NOT NULL, CONSTRAINT pk_log_records_words PRIMARY KEY (tenant_id, id))
    """,
    "CREATE INDEX ix_log_records_words ON log_records_words USING gin (words)",
    "ALTER TABLE log_records_words ENABLE ROW LEVEL SECURITY",
    """
    CREATE FUNCTION keep_log_records_words() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$ BEGIN
        IF TG_OP = 'DELETE' THEN
            DELETE FROM public.log_records_words w USING gone
                WHERE w.tenant_id = gone.tenant_id AND w.id = gone.id;
        ELSIF TG_OP = 'UPDATE' THEN
            UPDATE public.log_records_words w SET words = public.words_of(fresh.message)
                    || array_to_tsvector(ARRAY['tenant:' || fresh.tenant_id])
                FROM fresh WHERE w.tenant_id = fresh.tenant_id AND w.id = fresh.id;
        ELSE
            INSERT INTO public.log_records_words SELECT tenant_id, id,
                public.words_of(message) || array_to_tsvector(ARRAY['tenant:' || tenant_id])
                FROM fresh;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER log_records_words_new AFTER INSERT ON log_records
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION keep_log_records_words()
    """,
    """
    CREATE TRIGGER log_records_words_gone AFTER DELETE ON log_records
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION keep_log_records_words()
    """,
    """
    CREATE TRIGGER log_records_words_changed AFTER UPDATE ON log_records
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION keep_log_records_words()
    """,
    """
    CREATE FUNCTION find_log_records(wanted text) RETURNS SETOF uuid LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        SELECT id FROM public.log_records_words
        WHERE tenant_id = current_setting('email_sender.tenant')::uuid
        AND words @@ (to_tsquery('pg_catalog.simple', wanted) && (
            '''tenant:' || current_setting('email_sender.tenant')::uuid || '''')::tsquery) $$
    """,
)


def upgrade() -> None:
    """Add them."""
    create_tenant_table(
        "log_records",
        sa.Column("id", Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("severity", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("fields", Json, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in _MAY_LACK),
    )
    create_tenant_index("ix_log_records_seq", "log_records", ["seq"], unique=True)
    for name in ("trace_id", "request_id", "execution_id"):
        create_tenant_index(
            f"ix_log_records_{name}",
            "log_records",
            [name, "id"],
            sqlite_where=sa.text(f"{name} IS NOT NULL"),
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
        )
    create_tenant_table(
        "log_heads",
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("seq", "refused", "day", "day_bytes")
        ),
        key=(),
    )
    create_tenant_table(
        "log_settings",
        sa.Column("keep_days", sa.BigInteger(), nullable=False),
        *(sa.Column(name, Json, nullable=False) for name in ("retention", "hidden", "patterns")),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        key=(),
    )
    confine("log_records", "log_heads", "log_settings")
    if op.get_bind().dialect.name == "postgresql":
        statements: tuple[str, ...] = _POSTGRESQL
    else:
        statements = tuple(
            one.replace("{new}", _PLACE.format(row="new")).replace(
                "{old}", _PLACE.format(row="old")
            )
            for one in _SQLITE
        )
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them, lines and all."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    for table in ("log_settings", "log_heads", "log_records"):
        op.drop_table(table)
    op.drop_table("log_records_words")
    if postgresql:
        for function in ("find_log_records(text)", "keep_log_records_words()", "words_of(text)"):
            op.execute(f"DROP FUNCTION {function}")
    else:
        op.drop_table("log_records_numbers")
