"""Jobs that ended long ago, as the platform would have left them, by bulk statements."""

from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.ids import uuid7
from backend.migrations import runner
from tests.support.growth import act_as

OWNER_URL: Final = "EMAIL_SENDER__DATABASE__OWNER_URL"
_OTHERS: Final = 9
"""Tenants beside the one that works: each has a twentieth, and it the rest."""
_DAYS: Final = 25
_ROWS: Final = """
INSERT INTO jobs (tenant_id, id, runs_on, delay_seconds, kind, args, subject, state, waiting,
  priority, due_at, timeout_seconds, attempt, crashes, forgiven, max_attempts, backoff_seconds,
  worker, cancel_requested, result, error, traceparent, actor, dedup_key, created_at, started_at,
  finished_at)
SELECT CAST(:tenant AS uuid),
  CAST(lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') || '7' ||
    lpad(to_hex(i % 4096), 3, '0') || '8' ||
    substr(md5(i || CAST(CAST(:tenant AS uuid) AS text)), 1, 15) AS uuid),
  'success', 0, CASE i % 5 WHEN 0 THEN 'bench.other' ELSE 'bench.noop' END,
  jsonb_build_object('order', i), 'order:' || i,
  CASE i % 50 WHEN 0 THEN 'dead' WHEN 1 THEN 'cancelled' ELSE 'succeeded' END,
  0, 0, at, 60, 1, 0, 0, 5, 1, 'bench:1:a1b2c3', false, jsonb_build_object('accepted', i % 7),
  CASE i % 50 WHEN 0 THEN 'the other side answered 500' END,
  '00-' || md5(i::text) || '-' || substr(md5(i::text), 1, 16) || '-01', 'bench',
  CASE i % 10 WHEN 0 THEN 'order-' || i END, at, at, at + interval '40 milliseconds'
FROM (SELECT i, now() - (:count - i) * (interval '1 day' * :days / :count) AS at
  FROM generate_series(0, CAST(:count AS int) - 1) AS n(i)) AS numbered
"""


def fill_finished(url: str, scope: Scope, count: int) -> None:
    """Have ``count`` jobs in the last 25 days, more than half of them the scope's tenant's.

    Args:
        url: For the tables' owner; on PostgreSQL.
        scope: Of the tenant.
        count: How many in all.
    """
    engine = sa.create_engine(runner.sync_url(url))
    each = count // (2 * (_OTHERS + 1))
    shares = {scope.tenant_id: count - _OTHERS * each, **{uuid7(): each for _ in range(_OTHERS)}}
    try:
        with engine.begin() as connection:
            # A row that is put into six trees by itself costs ten times one that is sorted in.
            rebuilt = _drop_indexes(connection)
        for tenant, share in shares.items():
            with engine.begin() as connection:
                act_as(connection, tenant)
                connection.execute(
                    sa.text("INSERT INTO job_tenants (tenant_id, weight, paused, held)"
                            " VALUES (CAST(:tenant AS uuid), 1, false, false)"),
                    {"tenant": tenant},
                )  # fmt: skip
                connection.execute(
                    sa.text(_ROWS), {"tenant": tenant, "count": share, "days": _DAYS}
                )
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '256MB'")
            for statement in rebuilt:
                connection.exec_driver_sql(statement)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE jobs")
    finally:
        engine.dispose()


def _drop_indexes(connection: Any) -> list[str]:
    """Drop those that no constraint needs, and return what makes them again."""
    found = connection.exec_driver_sql(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = 'jobs'::regclass"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)"
    ).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [statement for _, statement in found]
