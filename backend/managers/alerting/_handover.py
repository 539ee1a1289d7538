"""Hand-overs: who begins to be on call and who ends is told by mail, once for each change.

It is looked who is on call at each moment at which that may change, and compared with who it was at
the look before. So a change that is undone before anybody looked is none; and what the process
missed that should have looked is told when the next one does. The mails and the new name are
written together.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from backend.core.context import Scope
from backend.core.database import Database, DatabaseUnavailableError
from backend.core.errors import AppError
from backend.managers.alerting._alerts import Alert, Alerts, Firing
from backend.managers.alerting._on_call import Shift
from backend.managers.alerting._rounds import Rounds
from backend.managers.alerting._schedules import Reckoning, Schedules, Watched
from backend.managers.alerting._sending import RefusedError, Sending
from backend.managers.alerting.errands import HANDING_OVER
from backend.managers.alerting.models import ScheduleRow
from backend.managers.email import Draft, EmailManager

HAND_OVER_SECONDS: Final = 15.0
_TOLD: Final = 20
_AGAIN: Final = timedelta(minutes=5)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What fires at a hand-over: how many, and the newest, with where alerts' pages are."""

    firing: Firing
    alerts: Sequence[Alert]
    page: str

    def lines(self) -> Sequence[str]:
        """In words, an alert a line."""
        count = self.firing.critical + self.firing.warning + self.firing.info
        if not count:
            return ["Nothing fires."]
        unseen = self.firing.unseen
        said = [f"Firing: {count}, not acknowledged: {unseen}"]
        said += [self._line(one) for one in self.alerts]
        more = count - len(self.alerts)
        return [*said, *([f"... and {more} more"] if more > 0 else [])]

    def _line(self, one: Alert) -> str:
        state = "acknowledged" if one.acknowledged_at else "NOT ACKNOWLEDGED"
        link = f" {self.page}{one.id}" if self.page else ""
        return f"- {one.name} ({one.severity}), {state}: {one.summary}{link}"


@dataclass(frozen=True, slots=True)
class Change:
    """Somebody else is on call.

    Attributes:
        schedule: What it is called.
        before: Whose turn is over, as an address; None: nobody's.
        now: Whose turn it is; None: nobody's.
        begins_at: Since when; None: for longer than it was looked back.
        until: Until when; None: longer than it was looked ahead.
        zone: By whose clocks times are told.
    """

    schedule: str
    before: str | None
    now: str | None
    begins_at: datetime | None
    until: datetime | None
    zone: ZoneInfo | None

    def begins(self, standing: Standing) -> tuple[str, str]:
        """Subject and text for who begins."""
        since = f" since {self._at(self.begins_at)}" if self.begins_at else ""
        until = self._at(self.until) if self.until else "further notice"
        lines = [
            f"You are on call by {self.schedule}{since}, until {until}.",
            f"Before you: {self.before or 'nobody'}",
            "",
            *standing.lines(),
        ]
        return self._mail(f"You are on call: {self.schedule}", lines)

    def ends(self, standing: Standing) -> tuple[str, str]:
        """Subject and text for who ends."""
        ended = f" since {self._at(self.begins_at)}" if self.begins_at else ""
        lines = [
            f"You are not on call by {self.schedule} any more{ended}.",
            f"On call now: {self.now or 'nobody'}",
            "",
            *standing.lines(),
        ]
        return self._mail(f"You are not on call any more: {self.schedule}", lines)

    def _at(self, instant: datetime) -> str:
        if self.zone is None:
            return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return f"{instant.astimezone(self.zone):%Y-%m-%d %H:%M %Z} ({self.zone.key})"

    @staticmethod
    def _mail(subject: str, lines: Sequence[str]) -> tuple[str, str]:
        return subject[:200], "\n".join(lines) + "\n"


class Handovers:
    """Tells people that they begin, or end, to be on call."""

    def __init__(
        self, schedules: Schedules, alerts: Alerts, mail: EmailManager, sending: Sending
    ) -> None:
        self._schedules = schedules
        self._alerts = alerts
        self._mail = mail
        self._sending = sending
        self._rounds = Rounds(HANDING_OVER, ScheduleRow.handover_due_at)

    async def run(self, database: Database) -> int:
        """Look at some of the schedules of which it is time to; how many mails it made."""
        return sum(await self._rounds.run(database, partial(self._of_tenant, database)))

    async def _of_tenant(self, database: Database, scope: Scope) -> int:
        async with database.read(scope) as view:
            now = view.now()
            due = await self._schedules.due_handovers(view)
        return sum([await self._look(database, scope, now, *one) for one in due])

    async def _look(
        self,
        database: Database,
        scope: Scope,
        now: datetime,
        watched: Watched,
        reckoning: Reckoning,
    ) -> int:
        shifts = await reckoning.shifts()
        shift = next(one for one in shifts if one.begin <= now < one.end)
        try:
            drafts = await self._drafts(database, scope, watched, reckoning, shift)
            prepared = await self._mail.prepare_emails(scope.tenant_id, drafts, {})
            async with database.transaction(scope) as tx:
                if not await self._schedules.note_handover(tx, watched, shift.person, shift.end):
                    return 0
                if prepared:
                    await self._mail.queue_emails(tx, prepared)
                return len(prepared)
        except DatabaseUnavailableError:
            raise
        except AppError as exc:
            said = {"tenant_id": scope.tenant_id, "reason": exc.detail or exc.title}
            logger.warning("handover_not_told", extra=said)
            async with database.transaction(scope) as tx:
                await self._schedules.note_handover(tx, watched, watched.person, now + _AGAIN)
            return 0

    async def _drafts(
        self,
        database: Database,
        scope: Scope,
        watched: Watched,
        reckoning: Reckoning,
        shift: Shift,
    ) -> Sequence[Draft]:
        if shift.person == watched.person:
            return []
        before = await self._address(database, scope, watched.person)
        after = await self._address(database, scope, shift.person)
        within = reckoning.within
        zones = [one.zone for one in watched.kept.layers if one.people]
        change = Change(
            schedule=watched.kept.name,
            before=before,
            now=after,
            begins_at=shift.begin if shift.begin > within.begin else None,
            until=shift.end if shift.end < within.end else None,
            zone=zones[-1] if zones else None,
        )
        standing = await self._standing(database, scope)
        key = f"on-call-handover:{watched.kept.id}:{watched.number + 1}"
        drafts: list[Draft] = []
        for address, which, (subject, text) in (
            (before, "ends", change.ends(standing)),
            (after, "begins", change.begins(standing)),
        ):
            if address is not None:
                draft = Draft(
                    to=(address,),
                    subject=subject,
                    text=text,
                    business_key=f"{key}:{which}",
                    returns_first=True,
                )
                drafts.append(draft)
        return drafts

    async def _standing(self, database: Database, scope: Scope) -> Standing:
        async with database.read(scope) as view:
            firing = await self._alerts.count_firing(view)
            alerts = await self._alerts.list(view, state="firing", limit=_TOLD)
        # Who sees to nothing of it yet looks at what nobody sees to first.
        told = sorted(alerts[:_TOLD], key=lambda one: one.acknowledged_at is not None)
        return Standing(firing, told, await self._sending.page(database, scope.tenant_id))

    async def _address(self, database: Database, scope: Scope, person: str | None) -> str | None:
        """Where somebody is told; None: it is nobody, or no member of the tenant any more."""
        if person is None:
            return None
        try:
            return await self._sending.address(database, scope, person)
        except RefusedError:
            return None
