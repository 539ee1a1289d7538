"""Words in a column of a tenant's table, by the index that each database has for them.

Neither index is a table of ours that a statement could name: SQLite's is a virtual table without
tenants, and PostgreSQL's own text operators are not leakproof, so that behind row-level security
no index serves them (record 0035). So the two are asked inside an element of their own, which
answers with rows of the table alone; the statement around it is confined as any.

A table ``<name>`` that is searched so has, by its migration: on SQLite the FTS5 table
``<name>_words`` with row ids of :data:`PLACE_BITS` bits below a tenant's number, which
``<name>_numbers`` has; on PostgreSQL the functions ``words_of(text)`` and
``find_<name>(text)``.
"""

# ruff: noqa: S608 - names are a table's of ours, and what is asked for are parameters

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from backend.core.columns import Id

PLACE_BITS: Final = 40
"""A row's number in its tenant takes so many bits of its row id in SQLite's index."""
MOST_PLACES: Final = (1 << PLACE_BITS) - 1

_MOST_TERMS: Final = 16
_MOST_TOKENS: Final = 64
_TERM: Final = re.compile(r'(-?)"([^"]*)"(\*?)|(-?)([^\s"]+)')
_TOKEN: Final = re.compile(r"[^\W_]+")


class NoWordsError(ValueError):
    """There is nothing that could be looked for."""


@dataclass(frozen=True, slots=True)
class _Term:
    tokens: Sequence[str]
    negated: bool
    prefix: bool


@dataclass(frozen=True, slots=True)
class Words:
    """What is looked for: all terms, and none of the negated ones.

    A term is a word, ``"words one after the other"``, with ``*`` at its end the beginning of one,
    with ``-`` before it what must not occur. What is neither letter nor digit parts words, in the
    question as in what is searched: ``payment.failed`` are two that follow each other.
    """

    terms: Sequence[_Term]

    @classmethod
    def read(cls, text: str) -> "Words":
        """The words of a question.

        Raises:
            NoWordsError: None, only such as must not occur, or too many.
        """
        terms = []
        for quoted_not, quoted, quoted_prefix, bare_not, bare in _TERM.findall(text.lower()):
            tokens = _TOKEN.findall(quoted or bare)
            prefix = bool(quoted_prefix) or bare.endswith("*")
            if tokens:
                terms.append(_Term(tokens, bool(quoted_not or bare_not), prefix))
        if not any(not one.negated for one in terms):
            raise NoWordsError("there is no word to look for")
        if len(terms) > _MOST_TERMS or sum(len(one.tokens) for one in terms) > _MOST_TOKENS:
            raise NoWordsError(f"at most {_MOST_TERMS} terms of {_MOST_TOKENS} words together")
        return cls(terms)

    def asked(self, dialect: str) -> str:
        """The question in the database's own language; made of letters and digits alone."""
        write = _postgresql_term if dialect == "postgresql" else _sqlite_term
        wanted = [write(one) for one in self.terms if not one.negated]
        without = [write(one) for one in self.terms if one.negated]
        if dialect == "postgresql":
            return " & ".join([*wanted, *(f"!({one})" for one in without)])
        return " NOT ".join([f"({' AND '.join(wanted)})", *without])


def _postgresql_term(term: _Term) -> str:
    words = " <-> ".join(f"'{token}'" for token in term.tokens)
    return f"({words}{':*' if term.prefix else ''})"


def _sqlite_term(term: _Term) -> str:
    return f'"{" ".join(term.tokens)}"{" *" if term.prefix else ""}'


class _Element(FunctionElement[bool]):
    """Arguments: the row's text, its id, its place in the tenant, the tenant, the question.

    Besides, of SQLite's index alone: the stretch of places that is looked through, both ends
    counted, and how many of the rows there at most, those of the highest places.
    """

    inherit_cache = True

    def __init__(
        self,
        text: Any,
        row_id: Any,
        place: Any,
        tenant_id: str,
        asked: str,
        *,
        places: tuple[int, int] = (0, MOST_PLACES),
        newest: int | None = None,
    ) -> None:
        given: list[tuple[Any, TypeEngine[Any]]] = [(tenant_id, Id()), (asked, sa.Text())]
        given += [(one, sa.BigInteger()) for one in places]
        if newest is not None:
            given.append((newest, sa.BigInteger()))
        super().__init__(
            text, row_id, place, *(sa.bindparam(None, one, type_=kind) for one, kind in given)
        )
        self.type = sa.Boolean()

    def self_group(self, against: Any = None) -> Self:  # noqa: ARG002 - parentheses are its own
        """As it is: "= 1" behind it would keep SQLite from its indexes."""
        return self


class has_words(_Element):  # noqa: N801 - reads as the SQL function it is
    """Whether a row that something else has found has the words.

    PostgreSQL looks at each row. SQLite has nothing but its index to ask, and asks it once, for the
    rows' places: one by one a thousand rows would cost a second, and for the beginning of a word
    ten.
    """

    inherit_cache = True
    name = "has_words"


class found_by_words(_Element):  # noqa: N801 - reads as the SQL function it is
    """Whether a row is one of those that the index has for the words."""

    inherit_cache = True
    name = "found_by_words"


def _parts(element: _Element, compiler: Any, options: dict[str, Any]) -> tuple[str, list[str]]:
    clauses = list(element.clauses)
    return clauses[1].table.name, [compiler.process(one, **options) for one in clauses]


@compiles(has_words, "postgresql")
def _has_postgresql(element: has_words, compiler: Any, **options: Any) -> str:
    _, (text, _, _, _, asked, *_) = _parts(element, compiler, options)
    return f"(words_of({text}) @@ to_tsquery('pg_catalog.simple', {asked}))"


@compiles(found_by_words, "postgresql")
def _found_postgresql(element: found_by_words, compiler: Any, **options: Any) -> str:
    table, (_, row_id, _, _, asked, *_) = _parts(element, compiler, options)
    return f"({row_id} IN (SELECT find_{table}({asked})))"


@compiles(has_words, "sqlite")
@compiles(found_by_words, "sqlite")
def _by_index_sqlite(element: _Element, compiler: Any, **options: Any) -> str:
    table, (_, _, place, tenant, asked, first, last, *newest) = _parts(element, compiler, options)
    base = _base(table, tenant)
    order = f" ORDER BY {table}_words.rowid DESC LIMIT {newest[0]}" if newest else ""
    return (
        f"({place} IN (SELECT {table}_words.rowid & {MOST_PLACES} FROM {table}_words "
        f"WHERE {table}_words MATCH {asked} "
        f"AND {table}_words.rowid BETWEEN {base} | {first} AND {base} | {last}{order}))"
    )


def _base(table: str, tenant: str) -> str:
    return f"((SELECT number FROM {table}_numbers WHERE tenant_id = {tenant}) << {PLACE_BITS})"
