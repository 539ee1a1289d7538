"""Alembic's environment: knows every table, migrates one database at a time."""

import sqlalchemy as sa
from alembic import context

from backend.core import audit as _audit
from backend.core.database import Base
from backend.migrations.row_security import declare_errands, pass_as_owner
from backend.rooms import HOUSE, ROOMS

# Imported for their tables: a model that no door declares would be dropped by the next comparison.
MODELS = (_audit, *(model for room in ROOMS for model in room.models))


def run() -> None:
    """Migrate within one transaction; the runner has seen to it that nobody else does."""
    engine = sa.create_engine(context.config.attributes["url"])

    if engine.dialect.name == "sqlite":
        # Taken at BEGIN: a running service must not write between two looks at its tables.
        @sa.event.listens_for(engine, "connect")
        def _manual(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA busy_timeout=30000")

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                pass_as_owner(connection)
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                compare_type=True,
                render_as_batch=connection.dialect.name == "sqlite",
                transactional_ddl=True,
            )
            with context.begin_transaction():
                context.run_migrations()
            if connection.dialect.name == "postgresql":
                declare_errands(connection, HOUSE.errands.values(), HOUSE.along)
    finally:
        # Also of one that was refused: its connection would stay open.
        engine.dispose()


run()
