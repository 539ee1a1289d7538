"""What a compiled statement reads, writes and is confined by, found while it is compiled.

The compiler renders every table, function and operator of a statement, wherever it stands: in a
subquery, a union's arm, a CTE, a function's argument. So its record is complete, is made of what
is sent and not of what was asked for, and, since compiled statements are kept, costs nothing per
execution.

An allow-list: a kind of element that is not named here makes the statement ``raw``, because its
text may hold anything.
"""

# ruff: noqa: SLF001 - what is rendered is known to the compiler alone, and it has no public hooks

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BindParameter, BooleanClauseList, Grouping
from sqlalchemy.sql.selectable import AliasedReturnsRows, FromGrouping, Join, Subquery

TENANT: Final = "tenant_id"

_FUNCTIONS: Final = frozenset(
    {
        "coalesce",
        "count",
        "hashtextextended",
        "json_each",
        "json_extract",
        "json_type",
        "jsonb_extract_path_text",
        "jsonb_to_recordset",
        "length",
        "lower",
        "max",
        "min",
        "octet_length",
        "pg_advisory_xact_lock",
        "row_number",
        "substr",
        "sum",
    }
)
"""The database's own that statements may call: ``set_config`` or ``query_to_xml`` could leave."""

_CONSTANT: Final = re.compile(r"\*|'[^'\\]*'|[0-9]+")
"""Literal SQL that can name nothing; the predicates of partial indexes have to be literal."""

_ORDERS: Final = frozenset({"USING ~<~"})
"""Orders that SQLAlchemy has no word for: that of an index by ``text_pattern_ops``."""

_COMPARISONS: Final = frozenset({"~>=~", "~<~"})
"""And its comparisons, which are leakproof."""

_INDEX: Final = re.compile(r"(INDEXED BY \w+)?")
"""The one hint that a table may have: it names an index of it."""

_KEYWORDS: Final = frozenset({"MATERIALIZED"})

_ELEMENTS: Final = frozenset(
    "visit_" + name
    for name in (
        "alias",
        "binary",
        "bindparam",
        "case",
        "cast",
        "clauselist",
        "column",
        "compound_select",
        "cte",
        "delete",
        "empty_set_expr",
        "empty_set_op_expr",
        "expression_clauselist",
        "false",
        "function",
        "grouping",
        "insert",
        "join",
        "label",
        "label_reference",
        "lateral",
        "null",
        "on_conflict_do_nothing",
        "on_conflict_do_update",
        "over",
        "release_savepoint",
        "rollback_to_savepoint",
        "savepoint",
        "select",
        "select_statement_grouping",
        "subquery",
        "table",
        "table_valued_alias",
        "textclause",
        "true",
        "tuple",
        "type_coerce",
        "typeclause",
        "unary",
        "update",
    )
)
# Operators are SQLAlchemy's own words, but for those whose text the statement gives.
_OPERATORS: Final = re.compile(
    r"visit_(?!custom_op|function_as)\w+_(binary|unary_operator|unary_modifier)"
)


class Facts:
    """What is known of one compiled statement.

    Attributes:
        tables: All it reads or changes.
        appended: The tables it inserts into without reading any.
        loose: Tables with tenants of which some use is not held to one tenant.
        keyed: Of these, the ones whose rows are named by the whole primary key alone.
        writes: Whether it changes anything.
        moves: Whether it gives rows to a tenant.
        raw: The first thing in it that may hold any text.
        without_tenant: The tables it uses that have no tenants.
    """

    __slots__ = (
        "_bound",
        "appended",
        "keyed",
        "loose",
        "moves",
        "raw",
        "tables",
        "without_tenant",
        "writes",
    )

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.appended: set[str] = set()
        self.loose: set[str] = set()
        self.keyed: set[str] = set()
        self.without_tenant: set[str] = set()
        self.writes = self.moves = False
        self.raw = ""
        self._bound: list[BindParameter[Any] | str] = []

    def parameters_of(self, compiled: Any) -> tuple[str, ...]:
        """The parameters whose values have to be the tenant."""
        names = compiled.bind_names
        named = {each if isinstance(each, str) else names[each] for each in self._bound}
        return tuple(sorted(named))


class _Watching:
    """Mixed into a dialect's compiler: renders as ever and takes notes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.facts = Facts()
        super().__init__(*arguments, **options)
        self.tenant_names = self.facts.parameters_of(self)

    # --- what is read ---------------------------------------------------------------------------

    def _compose_select_body(self, text: str, select: Any, *rest: Any, **options: Any) -> str:
        froms = rest[2]
        self._hold(froms, list(_conjuncts(select._where_criteria)))
        if select._statement_hints or not all(map(_INDEX.fullmatch, select._hints.values())):
            self._raw("a hint")
        rendered: str = super()._compose_select_body(text, select, *rest, **options)  # type: ignore[misc]
        return rendered

    def visit_custom_op_binary(self, element: Any, operator: Any, **options: Any) -> Any:
        if operator.opstring not in _COMPARISONS:
            self._raw("custom_op_binary")
        return super().visit_custom_op_binary(element, operator, **options)  # type: ignore[misc]

    def visit_custom_op_unary_modifier(self, element: Any, operator: Any, **options: Any) -> Any:
        if operator.opstring not in _ORDERS:
            self._raw("custom_op_unary_modifier")
        return super().visit_custom_op_unary_modifier(element, operator, **options)  # type: ignore[misc]

    def _hold(self, froms: Iterable[Any], conditions: list[Any]) -> None:
        for each in froms:
            for leaf, table, holding in _leaves(each, conditions):
                if table is None:
                    self._raw(type(leaf).__name__)
                else:
                    self._use(leaf, table, holding)

    def _use(self, leaf: Any, table: sa.TableClause, conditions: Iterable[Any]) -> None:
        self.facts.tables.add(table.name)
        if not isinstance(table, sa.Table):
            # Only a name: nobody knows whether the table has tenants.
            self._raw("a table without columns")
            return
        if TENANT not in table.c:
            self.facts.without_tenant.add(table.name)
            return
        for condition in conditions:
            bound = _bound_to(condition, leaf, TENANT)
            if bound is not None:
                self.facts._bound.append(bound)
                return
        self.facts.loose.add(table.name)

    # --- what is changed ------------------------------------------------------------------------

    def update_tables_clause(self, statement: Any, target: Any, extra: Any, **options: Any) -> Any:
        self._change(statement, target, extra)
        values = {getattr(each, "key", each) for each in statement._values or ()}
        if TENANT in values or TENANT in (self.column_keys or ()):  # type: ignore[attr-defined]
            self.facts.moves = True
        return super().update_tables_clause(statement, target, extra, **options)  # type: ignore[misc]

    def delete_table_clause(self, statement: Any, target: Any, extra: Any, **options: Any) -> Any:
        self._change(statement, target, extra)
        return super().delete_table_clause(statement, target, extra, **options)  # type: ignore[misc]

    def _change(self, statement: Any, target: Any, extra: Any) -> None:
        conditions = list(_conjuncts(statement._where_criteria))
        self.facts.writes = True
        self._hold(extra, conditions)
        known = target.name in self.facts.loose
        self._hold([target], conditions)
        if not known and target.name in self.facts.loose:
            key = target.primary_key.columns
            if all(any(_bound_to(c, target, k.key) is not None for c in conditions) for k in key):
                self.facts.keyed.add(target.name)

    def visit_insert(self, statement: Any, *rest: Any, **options: Any) -> Any:
        nested = bool(self.stack)  # type: ignore[attr-defined]
        rendered = super().visit_insert(statement, *rest, **options)  # type: ignore[misc]
        self.facts.writes = True
        table = statement.table
        if not self.facts.tables and not nested:
            self.facts.appended.add(table.name)
        self.facts.tables.add(table.name)
        if not isinstance(table, sa.Table):
            self._raw("a table without columns")
        elif TENANT not in table.c:
            self.facts.without_tenant.add(table.name)
        else:
            name = None if nested else self._inserted_tenant()
            if name is None:
                self.facts.loose.add(table.name)
            else:
                self.facts._bound.append(name)
        return rendered

    def _inserted_tenant(self) -> str | None:
        """The parameter that gives every inserted row its tenant, if one does."""
        state: Any = self.dml_compile_state  # type: ignore[attr-defined]
        if state._has_multi_parameters:
            return None
        if state.statement.select is not None:
            value = _selected(state.statement, TENANT)
            if not isinstance(value, BindParameter):
                return None
        else:
            value = (state._dict_parameters or {}).get(TENANT)
        name = TENANT
        if isinstance(value, BindParameter):
            name = TENANT if value.unique else value.key
        elif value is not None and isinstance(value, sa.ClauseElement):
            return None
        return name if name in self.binds else None  # type: ignore[attr-defined]

    def visit_on_conflict_do_update(self, clause: Any, **options: Any) -> Any:
        table = self.stack[-1]["selectable"].table  # type: ignore[attr-defined]
        targets = {getattr(each, "key", each) for each in clause.inferred_target_elements or ()}
        changed = dict(clause.update_values_to_set)
        if TENANT in {getattr(each, "key", each) for each in changed}:
            self.facts.moves = True
        if TENANT in table.c and TENANT not in targets:
            self._use(table, table, _conjuncts([clause.update_whereclause]))
        return super().visit_on_conflict_do_update(clause, **options)  # type: ignore[misc]

    # --- what may hold any text -----------------------------------------------------------------

    def _raw(self, what: str) -> None:
        self.facts.raw = self.facts.raw or what

    def visit_column(self, column: Any, *rest: Any, **options: Any) -> Any:
        if column.is_literal and not _CONSTANT.fullmatch(column.name):
            self._raw(f"the literal column {column.name}")
        return super().visit_column(column, *rest, **options)  # type: ignore[misc]

    def visit_textclause(self, clause: Any, *rest: Any, **options: Any) -> Any:
        if clause.text not in _KEYWORDS:
            self._raw("text")
        return super().visit_textclause(clause, *rest, **options)  # type: ignore[misc]

    def visit_function(self, function: Any, *rest: Any, **options: Any) -> Any:
        if function.name not in _FUNCTIONS or getattr(function, "packagenames", None):
            self._raw(f"the function {function.name}")
        return super().visit_function(function, *rest, **options)  # type: ignore[misc]


def _selected(insert: Any, column: str) -> Any:
    """What the insert's own select gives the column; None: it is not one select, or gives none."""
    names = [getattr(each, "key", each) for each in insert._select_names]
    if not isinstance(insert.select, sa.Select) or column not in names:
        return None
    columns = insert.select._raw_columns
    # An entity among them stands for several.
    return columns[names.index(column)] if len(columns) == len(names) else None


def _conjuncts(conditions: Iterable[Any]) -> Iterator[Any]:
    """All conditions that have to hold together."""
    for each in conditions:
        if isinstance(each, Grouping):
            yield from _conjuncts([each.element])
        elif isinstance(each, BooleanClauseList) and each.operator is operators.and_:
            yield from _conjuncts(each.clauses)
        else:
            yield each


def _bound_to(condition: Any, leaf: Any, column: str) -> BindParameter[Any] | None:
    """The parameter that the condition says the leaf's column is equal to, if that is all."""
    if not isinstance(condition, sa.BinaryExpression) or condition.operator is not operators.eq:
        return None
    left, right = condition.left, condition.right
    if (
        isinstance(left, sa.ColumnClause)
        and left.key == column
        # Annotated copies of one table are equal by hash alone.
        and hash(left.table) == hash(leaf)
        and isinstance(right, BindParameter)
    ):
        return right
    return None


def _leaves(each: Any, conditions: list[Any]) -> Iterator[tuple[Any, Any, list[Any]]]:
    """Everything a FROM names: itself, its table if it is one, and what holds for its rows.

    What has statements or functions of its own is looked at when those are rendered.
    """
    if isinstance(each, Join):
        on = list(_conjuncts([each.onclause])) if each.onclause is not None else []
        # Rows without a partner come through an outer join whatever ON says of them.
        yield from _leaves(each.left, conditions + ([] if each.isouter or each.full else on))
        yield from _leaves(each.right, conditions + ([] if each.full else on))
    elif isinstance(each, FromGrouping):
        yield from _leaves(each.element, conditions)
    elif isinstance(each, sa.TableClause):
        yield each, each, conditions
    elif isinstance(each, Subquery | sa.CTE | sa.TableValuedAlias | sa.Lateral):
        return
    elif isinstance(each, AliasedReturnsRows) and isinstance(each.element, sa.TableClause):
        yield each, each.element, conditions
    else:
        yield each, None, conditions


def _noting(name: str) -> Any:
    def visit(self: Any, *arguments: Any, **options: Any) -> Any:
        self._raw(name.removeprefix("visit_"))
        return getattr(super(self.watching, self), name)(*arguments, **options)

    return visit


@cache
def _watching(base: type[Any]) -> type[Any]:
    unknown = {
        name: _noting(name)
        for name in dir(base)
        if name.startswith("visit_")
        and name not in _ELEMENTS
        and name not in vars(_Watching)
        and not _OPERATORS.fullmatch(name)
    }
    made = type(f"Watching{base.__name__}", (_Watching, base), unknown)
    made.watching = made  # type: ignore[attr-defined]
    return made


def watch(dialect: Dialect) -> None:
    """From now on what the dialect compiles has ``facts`` and ``tenant_names``."""
    base: Any = dialect.statement_compiler
    dialect.statement_compiler = _watching(base)
