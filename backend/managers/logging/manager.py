"""Rules for logs: lines are taken in, looked for, and forgotten when their tenant says so."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from backend.core.clock import monotonic
from backend.core.context import Scope
from backend.core.database import Database, Id, ReadTx, Tx
from backend.core.errors import placed
from backend.core.ids import uuid7, uuid7_at
from backend.core.json_rows import BulkInsert
from backend.core.subject import ERASED, ROWS_AT_ONCE, Bite, Subject
from backend.kit.gunzip import MAGIC
from backend.kit.outbound import Outbound
from backend.kit.turns import LARGE_BYTES, Turns
from backend.managers.logging._export import LogExport
from backend.managers.logging._index import LogIndex
from backend.managers.logging._lines import LEVELS, Batch, KeepRule, read_lines, unpack
from backend.managers.logging._otlp import lines_of
from backend.managers.logging._patterns import LOOKED_AT, Patterns, find_patterns
from backend.managers.logging._redaction import (
    KINDS,
    USUAL,
    Pattern,
    Redaction,
    check_patterns,
)
from backend.managers.logging._search import Wanted, read_said, stretch_of
from backend.managers.logging.errors import (
    LogBudgetError,
    LogSettingsChangedError,
    LogSettingsInvalidError,
)
from backend.managers.logging.models import LogHead, LogRecord, LogSettingsRow
from backend.managers.logging.settings import LoggingSettings

SETTINGS_CHANGED: Final = "log_settings"
"""The signal that a tenant has changed its settings; the payload is the tenant."""

PATH: Final = "/api/v1/logs"
OTLP_PATH: Final = "/api/v1/otlp/v1/logs"
_MAX_RULES: Final = 50
_SWEPT: Final = 500
_TENANTS_A_SWEEP: Final = 50
_KNOWN_SECONDS: Final = 30.0
_MOST_KNOWN: Final = 10_000
_DAY: Final = timedelta(days=1)
_DAY_SECONDS: Final = 86_400
_ADD: Final = BulkInsert(
    LogRecord,
    (
        "id", "seq", "at", "received_at", "severity", "source", "message", "fields", "trace_id",
        "span_id", "request_id", "workflow_id", "execution_id",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What a tenant says of its logs.

    Attributes:
        keep_days: Lines that no rule is about are kept so long.
        retention: Rules; the first one that is about a line decides.
        hidden: Kinds of secrets that are taken out of lines.
        patterns: What else is.
        version: Changes with every change.
        updated_at: When they were said; None: never.
        updated_by: Who did.
    """

    keep_days: int
    retention: tuple[KeepRule, ...] = ()
    hidden: tuple[str, ...] = USUAL
    patterns: tuple[Pattern, ...] = ()
    version: str = "0"
    updated_at: datetime | None = None
    updated_by: str | None = None


class LoggingManager:
    """Takes lines in, and says what a tenant's settings are."""

    def __init__(self, settings: LoggingSettings, turns: Turns, outbound: Outbound) -> None:
        """Know no tenant yet.

        Args:
            settings: Of the installation.
            turns: For reading large batches.
            outbound: The way to Elasticsearch, for the export and for searches there.
        """
        self.settings = settings
        self.export = LogExport(settings, outbound)
        self.index = LogIndex(settings, self.export, outbound, self._rules)
        self._turns = turns
        self._known: dict[str, tuple[float, Redaction]] = {}

    # --- taking in ------------------------------------------------------------------------------

    async def read(
        self, database: Database, scope: Scope, body: bytes, *, trace_id: str | None = None
    ) -> Batch:
        """The lines of a batch as they will be kept, and those that will not.

        Lines that name no trace are of ``trace_id``, the one that they were sent in.

        Raises:
            LogBatchTooLargeError: It has too many bytes or lines.
            LogBatchDamagedError: It cannot be unpacked.
        """
        work = partial(unpack, body, self.settings.max_unpacked_bytes)
        # A packed one may have a thousand times as much in it.
        is_packed = body.startswith(MAGIC)
        text = await self._turns.run(scope.tenant_id, work) if is_packed else work()
        return await self._read(database, scope, text, trace_id)

    async def read_export(
        self, database: Database, scope: Scope, body: bytes, media_type: str, encoding: str
    ) -> Batch:
        """The records of an export by OTLP/HTTP, as ``read`` gives the lines of a batch.

        Raises:
            ExportTypeError: It is of another type or encoding than OTLP/HTTP has.
            ExportTooLargeError: It is over a limit, once unpacked.
            ExportMalformedError: It is not what it says.
            LogBatchTooLargeError: It has too many bytes or records.
        """
        work = partial(lines_of, body, media_type, encoding, self.settings, database.clock())
        # A resource is said once, and is in each of its lines.
        is_large = bool(encoding) or len(body) >= LARGE_BYTES // 64
        text = await self._turns.run(scope.tenant_id, work) if is_large else work()
        return await self._read(database, scope, text, may_be_structured=True)

    async def _read(
        self,
        database: Database,
        scope: Scope,
        text: bytes,
        trace_id: str | None = None,
        *,
        may_be_structured: bool = False,
    ) -> Batch:
        redaction = await self._redaction(database, scope)
        lines = read_lines(
            text,
            scope.tenant_id,
            redaction,
            self.settings,
            database.clock(),
            trace_id=trace_id,
            may_be_structured=may_be_structured,
        )
        if redaction.is_costly and len(text) >= LARGE_BYTES // 64:
            # Some rules take a hundred times as long as others for a character: of a long line
            # the event loop would hear for long.
            return await self._turns.run(scope.tenant_id, partial(_all_at_once, lines))
        return await self._turns.slices(scope.tenant_id, lines)

    async def find_patterns(
        self, database: Database, scope: Scope, wanted: Wanted, *, limit: int, only_new: bool
    ) -> Patterns:
        """What is wanted, by what its messages have in common; of the last day unless it says when.

        Of at most ten thousand lines, compared with as many of those before the stretch.

        Raises:
            LogSearchError: There is no word to look for, or the stretch of time is empty.
        """
        async with database.read(scope) as tx:
            since = wanted.after or (wanted.before or tx.now()) - _DAY
            stretch, _ = stretch_of(replace(wanted, after=since), tx.now())
            lines, complete = await read_said(tx, stretch, limit=LOOKED_AT)
            earlier = replace(wanted, after=None, before=stretch.after)
            before, _ = await read_said(tx, earlier, limit=LOOKED_AT)
        work = partial(
            find_patterns, lines, before, complete=complete, limit=limit, only_new=only_new
        )
        return await self._turns.run(scope.tenant_id, work)

    async def add(self, tx: Tx, batch: Batch) -> None:
        """Keep the lines of a batch, numbered as they came.

        The numbers come with the lines, from a row that is locked for as long as the commit takes
        and that others of this tenant alone wait for: a number later would write every line, and
        whatever finds it, once more (record 0035).

        Raises:
            LogBudgetError: The tenant has sent as much today as one may.
        """
        last = await self._count(tx, batch)
        first = last - len(batch.rows) + 1
        tx.append(_ADD, [{**row, "seq": first + at} for at, row in enumerate(batch.rows)])

    async def _count(self, tx: Tx, batch: Batch) -> int:
        now = int(tx.now().timestamp())
        today = now // _DAY_SECONDS
        used = sa.case((LogHead.day == today, LogHead.day_bytes), else_=0)
        advance = (
            sa.update(LogHead)
            .where(
                LogHead.tenant_id == tx.tenant_id,
                used + batch.size_bytes <= self.settings.day_bytes,
            )
            .values(
                seq=LogHead.seq + len(batch.rows),
                refused=LogHead.refused + len(batch.refused),
                day=today,
                day_bytes=used + batch.size_bytes,
            )
            .returning(LogHead.seq)
            .execution_options(synchronize_session=False)
        )
        last = await tx.scalar(advance)
        if last is None:
            fresh = {"tenant_id": tx.tenant_id, "seq": 0, "refused": 0, "day": 0, "day_bytes": 0}
            await tx.insert_new(LogHead, fresh, conflict=["tenant_id"])
            last = await tx.scalar(advance)
        if last is None:
            wait = _DAY_SECONDS - now % _DAY_SECONDS
            raise LogBudgetError(
                f"A tenant sends at most {self.settings.day_bytes} bytes of lines a day",
                headers={"Retry-After": str(wait)},
            )
        return int(last)

    async def _redaction(self, database: Database, scope: Scope) -> Redaction:
        """The tenant's rules, at most half a minute old should the signal be lost."""
        known = self._known.get(scope.tenant_id)
        if known is not None and monotonic() - known[0] < _KNOWN_SECONDS:
            return known[1]
        since = monotonic()
        async with database.read(scope) as view:
            made = await self.get_redaction(view)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[scope.tenant_id] = since, made
        return made

    def forget_settings(self, tenant_id: str) -> None:
        """Ask for a tenant's settings again, or with no name for everybody's."""
        if tenant_id:
            self._known.pop(tenant_id, None)
        else:
            self._known.clear()

    # --- settings -------------------------------------------------------------------------------

    async def get_redaction(self, tx: ReadTx) -> Redaction:
        """What the tenant has hidden in its lines, for whatever else of it is shown.

        Its ``hide`` may take long for a tenant's own patterns: it is for a turn beside the loop.
        """
        found = await self.get_settings(tx)
        return Redaction(found.hidden, found.patterns)

    async def get_settings(self, tx: ReadTx) -> LogSettings:
        """What the tenant says, or what holds where it has said nothing."""
        row = await tx.scalar(
            sa.select(LogSettingsRow).where(LogSettingsRow.tenant_id == tx.tenant_id)
        )
        return LogSettings(self.settings.keep_days) if row is None else _settings_of(row)

    async def put_settings(
        self,
        tx: Tx,
        *,
        keep_days: int,
        retention: Sequence[KeepRule],
        hidden: Sequence[str],
        patterns: Sequence[Pattern],
        expected_version: str | None = None,
    ) -> LogSettings:
        """Say it anew. Lines that were kept before stay as they are until they go.

        Raises:
            LogSettingsInvalidError: Something cannot be kept so, or looked for.
            LogSettingsChangedError: The version is not the current one any more.
        """
        row = await tx.scalar(
            sa.select(LogSettingsRow)
            .where(LogSettingsRow.tenant_id == tx.tenant_id)
            .with_for_update()
        )
        current = LogSettings(self.settings.keep_days) if row is None else _settings_of(row)
        if expected_version is not None and expected_version != current.version:
            raise LogSettingsChangedError
        self._refuse_rules(keep_days, retention)
        for at, name in enumerate(hidden):
            if name not in KINDS:
                raise LogSettingsInvalidError(f"There is no kind {name}").at("hidden", at)
        check_patterns(patterns)
        values: dict[str, Any] = {
            "keep_days": keep_days,
            "retention": [{**asdict(one), "levels": list(one.levels)} for one in retention],
            "hidden": [name for name in KINDS if name in hidden],
            "patterns": [asdict(one) for one in patterns],
            "version": uuid7(),
            "updated_at": tx.now(),
            "updated_by": tx.scope.actor,
        }
        await tx.upsert(
            LogSettingsRow,
            {"tenant_id": tx.tenant_id, **values},
            conflict=["tenant_id"],
            update=values,
        )
        told = {name: values[name] for name in ("keep_days", "retention", "hidden")}
        # A pattern may spell what it hides; its name is enough to know that it was there.
        names = [one.name for one in patterns]
        tx.audit("log_settings.changed", f"tenant:{tx.tenant_id}", **told, patterns=names)
        tx.signal(SETTINGS_CHANGED, tx.tenant_id)
        return LogSettings(
            keep_days,
            tuple(retention),
            tuple(values["hidden"]),
            tuple(patterns),
            values["version"],
            values["updated_at"],
            values["updated_by"],
        )

    def _refuse_rules(self, keep_days: int, retention: Sequence[KeepRule]) -> None:
        most = self.settings.max_keep_days
        if not 1 <= keep_days <= most:
            raise LogSettingsInvalidError(f"Lines are kept 1 to {most} days").at("keep_days")
        if len(retention) > _MAX_RULES:
            raise LogSettingsInvalidError(f"At most {_MAX_RULES} rules").at("retention")
        for at, rule in enumerate(retention):
            with placed("retention", at):
                if not 1 <= rule.days <= most:
                    raise LogSettingsInvalidError(f"Lines are kept 1 to {most} days").at("days")
                if not rule.levels and rule.source is None:
                    raise LogSettingsInvalidError("It names neither levels nor a source")

    # --- forgetting -----------------------------------------------------------------------------

    async def sweep(self, tx: Tx) -> int:
        """Forget up to 500 lines that one tenant keeps no longer; returns how many."""
        after: str | None = None
        while True:
            heads = self._with_old_lines(tx).order_by(LogHead.tenant_id)
            if after is not None:
                heads = heads.where(LogHead.tenant_id > after)
            tenants = await tx.scalars(heads.limit(_TENANTS_A_SWEEP))
            for tenant_id in tenants:
                async with tx.within(tenant_id) as part:
                    gone = await self._sweep_tenant(part)
                if gone:
                    return gone
            if len(tenants) < _TENANTS_A_SWEEP:
                return 0
            after = tenants[-1]

    def _with_old_lines(self, tx: Tx) -> sa.Select[str]:
        """Tenants that may have lines to forget: most have none, and are not asked one by one."""
        oldest = (
            sa.select(LogRecord.id)
            .where(LogRecord.tenant_id == LogHead.tenant_id)
            .order_by(LogRecord.id)
            .limit(1)
            .correlate(LogHead)
            .scalar_subquery()
        )
        ended, ended_by_rule = (
            sa.literal(uuid7_at(tx.now() - timedelta(days=days)), Id())
            for days in (self.settings.keep_days, 1)
        )
        said = LogSettingsRow.tenant_id.is_not(None)
        return (
            sa.select(LogHead.tenant_id)
            .outerjoin(LogSettingsRow, LogSettingsRow.tenant_id == LogHead.tenant_id)
            .where(oldest < sa.case((said, ended_by_rule), else_=ended))
        )

    async def _rules(self, tx: ReadTx) -> Sequence[KeepRule]:
        """How long lines are kept: the first rule that is about a line decides, the last is so."""
        said = await self.get_settings(tx)
        return [*said.retention, KeepRule(said.keep_days)]

    async def _sweep_tenant(self, tx: Tx) -> int:
        earlier: list[sa.ColumnElement[bool]] = []
        for rule in await self._rules(tx):
            about = _about(rule)
            ended = uuid7_at(tx.now() - timedelta(days=rule.days))
            others = (sa.not_(one) for one in earlier)
            free = await self.export.may_go(tx, rule.days)
            ids = await tx.scalars(
                sa.select(LogRecord.id)
                .where(
                    LogRecord.tenant_id == tx.tenant_id,
                    LogRecord.id < ended,
                    *about,
                    *others,
                    *free,
                )
                .order_by(LogRecord.id)
                .limit(_SWEPT)
            )
            if ids:
                await tx.execute(
                    sa.delete(LogRecord)
                    .where(
                        LogRecord.tenant_id == tx.tenant_id,
                        # They mostly lie side by side: a range is found at once.
                        LogRecord.id.between(ids[0], ids[-1]),
                        LogRecord.id.in_(ids),
                    )
                    .execution_options(synchronize_session=False)
                )
                return len(ids)
            if about:
                earlier.append(sa.and_(*about))
        return 0

    async def erase(self, tx: Tx, who: Subject, after: str) -> Bite:
        """What lines say of a person goes, and that there was a line stays: others count by it."""
        told = sa.and_(
            LogRecord.message != ERASED,
            sa.or_(who.is_told_in(LogRecord.message), who.is_told_in(LogRecord.fields)),
        )
        done = await tx.rewrite_some(
            LogRecord,
            told,
            {"message": ERASED, "fields": {ERASED: True}},
            after=after,
            limit=ROWS_AT_ONCE,
        )
        return Bite(done.looked_at, {LogRecord.__tablename__: done.changed}, after=done.after)

    # --- counting -------------------------------------------------------------------------------

    async def count_taken(self, tx: ReadTx) -> Mapping[str, int]:
        """How many lines were ever kept and refused, of all tenants that are there."""
        found = await tx.execute(sa.select(sa.func.sum(LogHead.seq), sa.func.sum(LogHead.refused)))
        kept, refused = found.one()
        return {"kept": int(kept or 0), "refused": int(refused or 0)}


def _all_at_once(lines: Generator[None, None, Batch]) -> Batch:
    while True:
        try:
            next(lines)
        except StopIteration as done:
            batch: Batch = done.value
            return batch


def _about(rule: KeepRule) -> list[sa.ColumnElement[bool]]:
    """Which lines a rule is about."""
    found: list[sa.ColumnElement[bool]] = []
    if rule.levels:
        spans = (LogRecord.severity.between(LEVELS[name], LEVELS[name] + 3) for name in rule.levels)
        found.append(sa.or_(*spans))
    if rule.source is not None:
        found.append(LogRecord.source == rule.source)
    return found


def _settings_of(row: Any) -> LogSettings:
    return LogSettings(
        row.keep_days,
        tuple(KeepRule(one["days"], tuple(one["levels"]), one["source"]) for one in row.retention),
        tuple(row.hidden),
        tuple(Pattern(one["name"], one["expression"]) for one in row.patterns),
        row.version,
        row.updated_at,
        row.updated_by,
    )
