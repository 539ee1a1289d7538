"""Compiles each statement once a process and not once a test.

Compiled statements are kept by engine and by dialect object, of which every test makes its own:
that was a quarter of what the tests cost. All dialects of a kind are made alike here, so that they
are one and the same to what is kept.
"""

from typing import Any

import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.util import LRUCache

KINDS: tuple[type[Dialect], ...] = (SQLiteDialect_aiosqlite, PGDialectAsync_psycopg)


def _alike(dialect: Any, other: object) -> bool:
    return type(other) is type(dialect) and _made(dialect) == _made(other)


def _made(dialect: Any) -> tuple[object, ...]:
    """What a statement is compiled by."""
    return dialect.statement_compiler, getattr(dialect, "server_version_info", None)


@pytest.fixture(scope="session", autouse=True)
def _one_of_each_kind() -> Any:
    kept: dict[type[Dialect], LRUCache[Any, Any]] = {kind: LRUCache(5_000) for kind in KINDS}

    def cache_of(engine: Engine) -> Any:
        kind = type(engine.dialect)
        return kept[kind] if kind in kept else vars(engine)["own cache"]

    def set_own(engine: Engine, cache: Any) -> None:
        vars(engine)["own cache"] = cache

    with pytest.MonkeyPatch.context() as patch:
        for kind in KINDS:
            patch.setattr(kind, "__eq__", _alike)
            patch.setattr(kind, "__hash__", lambda dialect: hash(type(dialect)))
        patch.setattr(Engine, "_compiled_cache", property(cache_of, set_own), raising=False)
        yield
