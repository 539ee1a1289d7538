"""Looks at the plan of every statement that an engine runs, and at the work that it did.

SQLite tells its plan before a statement and counts the steps of its virtual machine meanwhile;
PostgreSQL explains and runs the statement once more in a savepoint, which says how many rows it
touched. Both on the same connection, so with the same rows, snapshot and parameters.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event

_EXPLAINABLE: Final = re.compile(r"\s*(SELECT|WITH|UPDATE|DELETE|INSERT)\b", re.IGNORECASE)
_PROGRESS: Final = 100
# A statement is explained so often at most: with other parameters it may have another plan.
_TIMES: Final = 8

MAX_STEPS: Final = 200_000
MAX_ROWS: Final = 11_000
"""What one statement may do: count ten thousand rows of an index, or look through some of those, as
the lists do to find their most selective side. A walk through all that a tenant has is above it, at
twenty thousand messages."""


@dataclass
class Plans:
    """What was found.

    Attributes:
        growing: Tables that grow with use.
        spanning: Indexes of those that an errand may walk through: partial ones, which hold what
            is open.
        large: Tenants with many rows. Of another, PostgreSQL knows that it has few, and reads them.
        statements: How often each text ran.
        findings: What is wrong with which.
    """

    growing: frozenset[str]
    spanning: frozenset[str]
    large: frozenset[str]
    statements: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)

    def blame(self, sql: str, what: str) -> None:
        """Note a statement; the first thing that is wrong with it stays."""
        self.findings.setdefault(sql, what)

    def __str__(self) -> str:
        return "\n".join(f"{what}: {' '.join(sql.split())}" for sql, what in self.findings.items())


@contextmanager
def watch(engine: sa.Engine, plans: Plans) -> Iterator[Plans]:
    """Look at all that the engine runs while the block lasts."""
    watcher = _Sqlite(plans) if engine.dialect.name == "sqlite" else _Postgresql(plans)
    event.listen(engine, "before_cursor_execute", watcher.before)
    event.listen(engine, "after_cursor_execute", watcher.after)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", watcher.before)
        event.remove(engine, "after_cursor_execute", watcher.after)


def ask(connection: sa.Connection, sql: str, given: Any) -> list[Any]:
    """The answer of the driver itself: what a session sends may hold no text."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql, given)
        return list(cursor.fetchall())
    finally:
        cursor.close()


class _Watcher:
    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._looking = False

    def before(self, connection: Any, _: Any, sql: str, given: Any, __: Any, many: bool) -> None:
        if self._looking or not _EXPLAINABLE.match(sql):
            return
        self._plans.statements[sql] += 1
        if self._plans.statements[sql] > _TIMES:
            return
        self._looking = True
        try:
            self.look(connection, sql, given[0] if many else given)
        finally:
            self._looking = False

    def after(self, connection: Any, _: Any, sql: str, __: Any, ___: Any, many: bool) -> None:
        """What is known only now."""

    def look(self, connection: sa.Connection, sql: str, given: Any) -> None:
        raise NotImplementedError

    def _table(self, sql: str, name: str) -> str:
        """What an alias stands for."""
        if name in self._plans.growing:
            return name
        found = re.search(rf"\b(\w+) AS \"?{re.escape(name)}\b", sql)
        return found[1] if found else name


class _Sqlite(_Watcher):
    _SCAN: Final = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")
    _BY_TENANT: Final = re.compile(r"SEARCH (\w+) USING .*INDEX (\w+) \(tenant_id=\?\)")

    def __init__(self, plans: Plans) -> None:
        super().__init__(plans)
        self._steps: dict[int, int] = {}

    def look(self, connection: sa.Connection, sql: str, given: Any) -> None:
        details = [str(row[3]) for row in ask(connection, f"EXPLAIN QUERY PLAN {sql}", given)]
        sorts = any("TEMP B-TREE FOR ORDER" in detail for detail in details)
        ordered = "LIMIT" in sql and not sorts
        for detail in details:
            if scan := self._SCAN.match(detail):
                table, index = self._table(sql, scan[1]), scan[2] or ""
                if table in self._plans.growing and index not in self._plans.spanning:
                    self._plans.blame(sql, detail)
            elif (found := self._BY_TENANT.match(detail)) and not ordered:
                table, index = self._table(sql, found[1]), found[2]
                if table in self._plans.growing and index not in self._plans.spanning:
                    self._plans.blame(sql, detail)
        driver: Any = connection.connection.driver_connection
        driver._conn.set_progress_handler(self._counter(id(driver)), _PROGRESS)
        self._steps[id(driver)] = 0

    def _counter(self, which: int) -> Any:
        def count() -> int:
            self._steps[which] = self._steps.get(which, 0) + _PROGRESS
            return 0

        return count

    def after(self, connection: Any, _: Any, sql: str, __: Any, ___: Any, many: bool) -> None:
        driver = connection.connection.driver_connection
        if id(driver) not in self._steps:
            return
        driver._conn.set_progress_handler(None, 0)
        steps = self._steps.pop(id(driver))
        if steps > MAX_STEPS and not many:
            self._plans.blame(sql, f"{steps} steps")


class _Postgresql(_Watcher):
    def look(self, connection: sa.Connection, sql: str, given: Any) -> None:
        if sql.lstrip().upper().startswith("INSERT") and "SELECT" not in sql.upper():
            return
        with connection.begin_nested() as savepoint:
            explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}"
            found = ask(connection, explain, given)[0][0]
            savepoint.rollback()
        plan = found if isinstance(found, list) else json.loads(found)
        self._walk(sql, plan[0]["Plan"], ordered=False)

    def _walk(self, sql: str, node: Mapping[str, Any], *, ordered: bool) -> None:
        if node.get("One-Time Filter") == "false":
            return  # Of an empty list of keys: it reads nothing, whatever the plan below it.
        kind = node["Node Type"]
        table = node.get("Relation Name", "")
        if not table and (index := node.get("Index Name")):
            table = next((one for one in self._plans.growing if f"_{one}_" in f"{index}_"), "")
        if table in self._plans.growing:
            self._judge(sql, node, kind, table, ordered=ordered)
        # What a sort or a hash needs is read to its end, whatever the limit above it.
        if kind == "Limit":
            ordered = True
        elif kind in {"Sort", "Hash", "Aggregate", "Materialize", "WindowAgg"}:
            ordered = False
        children: Sequence[Mapping[str, Any]] = node.get("Plans", ())
        for child in children:
            self._walk(sql, child, ordered=ordered)

    def _judge(
        self, sql: str, node: Mapping[str, Any], kind: str, table: str, *, ordered: bool
    ) -> None:
        index = node.get("Index Name", "")
        if kind == "Seq Scan":
            self._plans.blame(sql, f"Seq Scan on {table}")
        condition = str(node.get("Index Cond", ""))
        alone = re.fullmatch(
            r"\(\(?(?:\w+\.)?tenant_id = [^()]*(?:\([^()]*\))?[^()]*\)?\)", condition
        )
        of = re.search(r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'", condition)
        if alone and of and of[1] not in self._plans.large:
            alone = None
        if index and index not in self._plans.spanning and not ordered and (alone or not condition):
            self._plans.blame(sql, f"{kind} on {table} using {index} {condition}")
        removed = sum(
            int(node.get(f"Rows Removed by {why}", 0)) for why in ("Filter", "Index Recheck")
        )
        rows = (int(node.get("Actual Rows", 0)) + removed) * int(node.get("Actual Loops", 1))
        if rows > MAX_ROWS:
            self._plans.blame(sql, f"{kind} on {table} {index}: {rows} rows")
