"""When credentials were used last: noted after each answer, written once a minute."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Errand, SystemScope
from backend.core.database import Database
from backend.core.telemetry import RequestRecord

_WRITE_SECONDS: Final = 60.0


class LastUses:
    """Of credentials of one kind, whose rows have a tenant and ``last_used_at``."""

    def __init__(
        self,
        database: Database,
        errand: Errand,
        monotonic: Callable[[], float],
        *,
        kind: str,
        model: Any,
        named_by: Any,
    ) -> None:
        """Keep the uses of one kind.

        Args:
            database: Where they are written.
            errand: May change the rows.
            monotonic: Seconds.
            kind: How their subjects begin: ``client``, ``api_key``.
            model: Of the rows.
            named_by: The column with what follows in the subject.
        """
        self._database = database
        self._errand = errand
        self._monotonic = monotonic
        self._kind = kind
        self._model = model
        self._named_by = named_by
        self._used: dict[tuple[str, str], int] = {}
        self._written_at = -math.inf

    def note(self, record: RequestRecord) -> None:
        """Remember, if such a credential made this request, when."""
        kind, _, name = record.actor.partition(":")
        if kind == self._kind:
            self._used[record.tenant_id, name] = record.started_ns

    async def flush(self, *, everything: bool = False) -> None:
        """Write when they were last used, once a minute."""
        now = self._monotonic()
        if not self._used or (now < self._written_at + _WRITE_SECONDS and not everything):
            return
        self._written_at = now
        used, self._used = self._used, {}
        model = self._model
        async with self._database.transaction(SystemScope(self._errand)) as tx:
            for (tenant_id, name), started_ns in sorted(used.items()):
                at = datetime.fromtimestamp(started_ns / 1e9, UTC)
                await tx.execute(
                    sa.update(model)
                    .where(
                        model.tenant_id == tenant_id,
                        self._named_by == name,
                        sa.or_(model.last_used_at.is_(None), model.last_used_at < at),
                    )
                    .values(last_used_at=at)
                    .execution_options(synchronize_session=False)
                )
