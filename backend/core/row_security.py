"""PostgreSQL's own wall between tenants: how a transaction says its scope, and who may serve.

Row-level security holds whatever the session let through, so it trusts nothing that a statement
could say. Each transaction names its tenant or its errand in the round trip of its BEGIN; both end
with the transaction, so a pooled connection carries no scope to whoever has it next, and without
one every look at a tenant's table fails. What an errand may touch is not part of what it says: the
owner of the tables wrote it into their policies (:mod:`backend.migrations.row_security`), and the
role that serves can change no policy.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import AnyScope, Errand, SystemScope
from backend.core.errors import UnavailableError

psycopg: Any
try:
    import psycopg
    import psycopg.generators
except ImportError:  # the embedded shape does not install it
    psycopg = None

TENANT_SETTING: Final = "email_sender.tenant"
ERRAND_SETTING: Final = "email_sender.errand"
NO_TENANT: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""What work across tenants names: no row has it, and unlike nothing at all it is a scope."""


_IN_ORDER: Final = (("enable_sort", "off"), ("enable_bitmapscan", "off"), ("jit", "off"))
"""What has to be sorted all the same looks so dear that PostgreSQL would compile it for that."""


class WeakRoleError(UnavailableError):
    """The service's role could pass the wall: nothing may be served."""

    code, title = "weak_database_role", "The database would not keep tenants apart"


def begin_with(scope: AnyScope) -> bytes:
    """SQL that names the scope, and what plans it is to have, until the transaction ends."""
    tenant, errand = scope.tenant_id, ""
    plans: tuple[tuple[str, str], ...] = ()
    if isinstance(scope, SystemScope):
        errand = scope.errand.name
        if not scope.errand.confined:
            tenant = NO_TENANT
        if scope.errand.in_order:
            plans = _IN_ORDER
    given = ((TENANT_SETTING, tenant), (ERRAND_SETTING, errand), *plans)
    calls = (f"set_config('{name}', {_quoted(value)}, true)" for name, value in given)
    return f"SELECT {', '.join(calls)}".encode()


def _quoted(value: str) -> str:
    # A backslash means itself in PostgreSQL's plain literals; the connection refuses other ones.
    return "'" + value.replace("'", "''") + "'"


def reach_of(errands: Iterable[Errand], along: frozenset[str]) -> dict[str, tuple[set[str], bool]]:
    """For each errand the tables it may touch across tenants, and whether it is confined.

    Whatever a request does for the platform keeps its answer for the caller's tenant; what a
    confined errand brings along is its own tenant's anyway.
    """
    return {
        each.name: (set(each.tables | (along if each.of_platform else frozenset())), each.confined)
        for each in errands
    }


if psycopg is not None:

    class Connection(psycopg.AsyncConnection):  # type: ignore[misc]
        """A connection whose next transaction begins with its scope, in the same round trip."""

        scope: AnyScope | None = None
        """Whose the next statement is."""
        named: AnyScope | None = None
        """What the server was told in this transaction; None: nobody knows."""
        _prepared: Any

        def _start_query(self) -> Iterator[Any]:
            """Begin a transaction, unless one goes on."""
            idle = self.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
            if self.scope is None or self.autocommit or not idle:
                yield from super()._start_query()
                return
            begin, named = self._get_tx_start_command(), begin_with(self.scope)
            self.named = self.scope
            if self._pipeline:
                yield from self._exec_command(begin)
                yield from self._exec_command(named)
                yield from self._pipeline._sync_gen()  # noqa: SLF001 - as the driver's own BEGIN
                return
            self._check_connection_ok()
            self.pgconn.send_query(b"%b; %b" % (begin, named))
            # Nothing has run if the first failed, and all is undone if the second did.
            for result in (yield from psycopg.generators.execute(self.pgconn)):
                if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                    raise psycopg.errors.error_from_result(result, encoding=self.info.encoding)

        def _rollback_gen(self) -> Iterator[Any]:
            """Roll back, and know all prepared statements for another time.

            The driver would have the server forget them, because a rollback may undo the making of
            what they name. Nothing of ours makes tables, and each look at the database ends in a
            rollback: no statement would be asked often enough to be prepared.
            """
            kept, self._prepared = self._prepared, type(self._prepared)()
            try:
                yield from super()._rollback_gen()
            finally:
                self._prepared = kept

        @property
        def misnamed(self) -> bool:
            """Whether the server takes this transaction for somebody else's than it is by now."""
            return (
                self.scope is not self.named
                and self.scope is not None
                and self.pgconn.transaction_status == psycopg.pq.TransactionStatus.INTRANS
            )

        async def rename(self) -> None:
            """Name the scope again in the middle of a transaction."""
            if self.scope is not None:
                await self.execute(begin_with(self.scope))
            self.named = self.scope


_ROLE: Final = """
SELECT rolname, rolsuper, rolbypassrls,
  (SELECT array_agg(relname::text ORDER BY relname) FROM pg_class
   WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
     AND relname = ANY (%(tables)s) AND pg_has_role(current_user, relowner, 'USAGE')),
  (SELECT array_agg(relname::text ORDER BY relname) FROM pg_class
   WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
     AND relname = ANY (%(tables)s) AND NOT (relrowsecurity AND relforcerowsecurity))
FROM pg_roles WHERE rolname = current_user
"""


async def check_role(engine: Any, tables: Mapping[str, sa.Table]) -> str:
    """What stands between the service's role and other tenants' rows, in a line.

    Raises:
        WeakRoleError: The role passes row-level security, or a table with tenants has none.
    """
    of_tenants = sorted(name for name, table in tables.items() if "tenant_id" in table.c)
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(_ROLE, {"tables": of_tenants})
        role, superuser, bypasses, owned, unforced = found.one()
    if superuser:
        reason = "is a superuser"
    elif bypasses:
        reason = "has BYPASSRLS"
    elif owned:
        reason = f"owns {owned[0]}"
    elif unforced:
        msg = f"{unforced[0]} has no forced row-level security: email-sender migrate"
        raise WeakRoleError(msg)
    else:
        return f"postgresql, where {role} is held by row-level security"
    msg = (
        f"the role {role} {reason}: serve as a plain role, and name the owner in "
        "EMAIL_SENDER__DATABASE__OWNER_URL"
    )
    raise WeakRoleError(msg)
