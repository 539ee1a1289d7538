"""Delivery: the job that hands messages to a mail server and records what it said.

A batch of claims of one tenant is read in one transaction, sent over a few kept connections, and
reported message by message: the record of a message follows its acceptance within milliseconds,
so a crash repeats at most what was in flight.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

from backend.core.clock import epoch_nanoseconds
from backend.core.database import Database
from backend.core.errors import AppError
from backend.core.telemetry import Step
from backend.kit.mime import Content, compose
from backend.kit.smtp import Hold, RecipientOutcome, SmtpPool, SmtpRelay
from backend.managers.email import _states
from backend.managers.email._pools import RelayPools
from backend.managers.email._states import Answer, Effect, Held
from backend.managers.email._values import Delivery
from backend.managers.email.errors import RelayNotAllowedError
from backend.managers.email.manager import JOB_KIND, EmailManager, scope_of
from backend.managers.orchestrator import Batch, Claim, JobKind, Outcome
from backend.managers.security import SealedError

logger = logging.getLogger(__name__)

_BATCH: Final = 32
# A machine that crashes all evening is likelier than a message that kills workers, and giving up
# means bouncing mail that the server may have had since the first crash.
_MAX_CRASHES: Final = 10
_BY_BADNESS: Final = ("accepted", "deferred", "bounced")
_UNANSWERED: Final = "stopped before the server answered: it may hold the message"
_SEALED: Final = Hold("the tenant's keys are sealed", 60.0)
_NO_RELAY: Final = Outcome.fail("the relay that the message names does not exist any more")


class _Way(NamedTuple):
    """What of a batch goes by one relay; no pool if there is none of that name."""

    claims: Mapping[str, Claim]
    pool: SmtpPool | None
    hold: Hold | None
    deliveries: Sequence[Delivery]


class _HandingOver:
    """A message's way to its server, and what the trace of its job is told of it."""

    def __init__(self, batch: Batch, claim: Claim, relay: SmtpRelay) -> None:
        self.is_begun = False
        self._batch = batch
        self._claim = claim
        self._relay = relay
        self._begun_ns: int | None = None

    def begin(self) -> bool:
        """Whether it may still be handed over; asked before each transaction."""
        self.is_begun = self._batch.begin(self._claim)
        if self.is_begun and self._begun_ns is None:
            self._begun_ns = epoch_nanoseconds()
        return self.is_begun

    def end(self, found: Sequence[RecipientOutcome], error: str = "") -> None:
        """Tell how many it was taken for, never whom; of what was not begun there is nothing.

        What servers say is left out as well, because they like to name whom they refuse.
        """
        if self._begun_ns is None:
            return
        worst = max(found, key=lambda one: _BY_BADNESS.index(one.state), default=None)
        code = None if worst is None else worst.code
        failed = worst is None or worst.state != "accepted"
        counts = Counter(one.state for one in found)
        attributes: dict[str, str | int] = {
            "server.address": self._relay.host,
            "server.port": self._relay.port,
            "network.protocol.name": "smtp",
            **{f"email_sender.recipients.{state}": count for state, count in counts.items()},
        }
        if code is not None:
            attributes["smtp.response.status_code"] = code
        if failed:
            attributes["error.type"] = error or str(code or "unanswered")
        seconds = max(0, epoch_nanoseconds() - self._begun_ns) / 1e9
        step = Step("smtp.send", self._begun_ns, seconds, failed, attributes)
        self._batch.note(self._claim, step)


class EmailDelivery:
    """The e-mail job kind and the connections it keeps."""

    def __init__(self, database: Database, emails: EmailManager) -> None:
        self._database = database
        self._emails = emails
        self._pools = RelayPools(emails.outbound, emails.settings.pacing)
        self._recording = asyncio.Lock()

    def kind(self) -> JobKind:
        """The job kind to register with the worker."""
        return JobKind(
            JOB_KIND,
            self.run,
            batch_size=_BATCH,
            apply=_states.record_attempts,
            on_dead=_states.bounce_open,
            on_cancel=_states.cancel_open,
            on_retry=_states.requeue,
            max_crashes=_MAX_CRASHES,
            aclose=self._pools.aclose,
        )

    async def run(self, batch: Batch) -> None:
        """Deliver a batch; each claim is reported the moment its message is settled."""
        tenant_id = batch.claims[0].tenant_id
        by_relay: dict[str | None, dict[str, Claim]] = {}
        for claim in batch.claims:
            group = by_relay.setdefault(claim.args.get("relay"), {})
            group[str(claim.args["email_id"])] = claim
        with ExitStack() as used:
            ways = []
            async with self._database.transaction(scope_of(tenant_id)) as tx:
                try:
                    routes = await self._emails.open_routes(tx, by_relay)
                except SealedError:
                    # Sealed since they were claimed: no attempt was made, and the next ones wait.
                    for claim in batch.claims:
                        batch.finish(claim, _held(_SEALED))
                    return
                for name, claims in by_relay.items():
                    route = routes.get(name)
                    if route is None:
                        ways.append(_Way(claims, None, None, []))
                        continue
                    pool = used.enter_context(self._pools.use(route.relay))
                    await self._emails.relays.refresh(tx, route.relay, pool.flow)
                    hold = pool.hold(route.sender.address)
                    begun = (
                        await self._emails.begin_delivery(tx, list(claims), route)
                        if hold is None
                        else []
                    )
                    ways.append(_Way(claims, pool, hold, begun))
            async with asyncio.TaskGroup() as tasks:
                for way in ways:
                    tasks.create_task(self._go(batch, way, tasks))

    async def _go(self, batch: Batch, way: "_Way", tasks: asyncio.TaskGroup) -> None:
        """Begin all that goes one way; what does not is reported."""
        if way.pool is None or way.hold is not None:
            for claim in way.claims.values():
                batch.finish(claim, _NO_RELAY if way.hold is None else _held(way.hold))
            return
        for email_id in way.claims.keys() - {one.email_id for one in way.deliveries}:
            # Settled before: a crash came between our record and the end of the job.
            batch.finish(way.claims[email_id], Outcome.done({"already": "settled"}))
        if not way.deliveries:
            return
        pool = way.pool if await self._is_allowed(way.pool.relay) else None
        for one in way.deliveries:
            tasks.create_task(self._deliver(batch, way.claims[one.email_id], one, pool))

    async def _is_allowed(self, relay: SmtpRelay) -> bool:
        """Whether tenants may reach it."""
        if relay.tenant_id is None:
            return True
        try:
            await self._emails.servers.check(relay.tenant_id, relay.host)
        except RelayNotAllowedError:
            return False
        return True

    async def _deliver(
        self, batch: Batch, claim: Claim, delivery: Delivery, pool: SmtpPool | None
    ) -> None:
        if batch.is_cancelled(claim):
            return
        if not delivery.pending:  # all of them are suppressed by now
            batch.finish(claim, _outcome(delivery, []))
            return
        if pool is None:
            batch.finish(claim, Outcome.fail("the mail server is not allowed"))
            return
        way = _HandingOver(batch, claim, pool.relay)
        try:
            found = await pool.send(
                delivery.sender.address,
                list(delivery.pending.values()),
                partial(self._write, claim.tenant_id, delivery),
                # Most of a batch waits for a connection. A worker that ends must not send all of
                # that first: it would be killed in the middle, and what is in the middle arrives
                # twice. And what was cancelled while it waited must not be sent at all.
                still_wanted=way.begin,
                holder=claim.tenant_id,
            )
        except asyncio.CancelledError:
            if way.is_begun and batch.is_cancelled(claim):
                # Out of time: the job ends cancelled, but the server may hold the message.
                way.end([], "cancelled")
                answers = [
                    Answer(position, address, "deferred", None, _UNANSWERED)
                    for position, address in delivery.pending.items()
                ]
                batch.finish(claim, Outcome.retry(_UNANSWERED, effect=Effect(answers)))
            raise
        except Exception as exc:
            # A message that cannot be written must not cut the others off in the middle.
            logger.exception("delivery_failed", extra={"email": delivery.email_id})
            found = [
                RecipientOutcome(address, "deferred", None, f"{type(exc).__name__}: {exc}"[:500])
                for address in delivery.pending.values()
            ]
        if not found:
            return
        way.end(found)
        batch.finish(claim, _outcome(delivery, found))
        if any(one.state == "accepted" for one in found):
            self._emails.relays.accepted(claim.tenant_id, pool.flow)
        await self._record(claim.tenant_id, pool)

    async def _write(self, tenant_id: str, delivery: Delivery) -> bytes:
        if delivery.content is not None:
            return _compose(delivery, delivery.content)
        async with self._database.read(scope_of(tenant_id)) as tx:
            open_content = await self._emails.find_content(tx, delivery.email_id)
        # Ten megabytes take a tenth of a second: a worker that is deaf for longer than its lease
        # looks dead to the others.
        return await asyncio.to_thread(lambda: _compose(delivery, open_content()))

    async def _record(self, tenant_id: str, pool: SmtpPool) -> None:
        """Write what was learned of the relay; one at a time, and the others find it written."""
        if not self._emails.relays.has_news(tenant_id, pool.flow):
            return
        async with self._recording:
            if not self._emails.relays.has_news(tenant_id, pool.flow):
                return
            try:
                async with self._database.transaction(scope_of(tenant_id)) as tx:
                    await self._emails.relays.write(tx, pool.relay, pool.flow)
            except AppError:
                # The messages are settled; the next one that is tries this again.
                self._emails.relays.unsettle(tenant_id, pool.flow)
                logger.warning("relay_not_recorded", extra={"relay": pool.relay.label})


def _compose(delivery: Delivery, content: Content) -> bytes:
    """The whole message, the same bytes each time."""
    return compose(
        content,
        message_id=delivery.message_id,
        from_mailbox=delivery.sender,
        to=delivery.to,
        cc=delivery.cc,
        date=delivery.created_at,
    )


def _held(hold: Hold) -> Outcome:
    """Nothing was tried; everybody comes back in time, and not all at the same moment."""
    effect = Held(hold.reason, hold.code, hold.refused_us)
    seconds = _spread(hold.seconds)
    return Outcome.retry(hold.reason, delay_seconds=seconds, effect=effect, tried=False)


def _outcome(delivery: Delivery, found: Sequence[RecipientOutcome]) -> Outcome:
    """Retry while anybody is deferred; then fail if anybody bounced, in this attempt or before.

    Only a job that failed can be retried, and that is how those who bounced get their mail at last.
    Patience is in time. It ends by an answer about the message or a recipient only: as long as the
    relay refuses us, or the message's turn has not come, no time has passed.
    """
    tried = (delivery.begun_at - delivery.tries_from).total_seconds()
    waited = (delivery.begun_at - delivery.due_at).total_seconds()
    over = tried >= delivery.retry.give_up_after_seconds
    said: dict[str, list[str]] = {"accepted": [], "deferred": [], "bounced": [*delivery.bounced]}
    answers: list[Answer] = []
    by_address = {one.address: one for one in found}
    pending = delivery.pending.items() if found else ()
    waits: list[float] = []
    for position, address in pending:
        one = by_address[address]
        state, words = one.state, one.response
        if state == "deferred" and one.retry_seconds is None and over:
            state, words = "bounced", f"gave up after {_span(tried)}: {words}"
        elif state == "deferred":
            waits.append(
                delivery.retry.wait_after(max(tried, 0.0))
                if one.retry_seconds is None
                else one.retry_seconds
            )
        answers.append(Answer(position, address, state, one.code, words[:500], one.unknown))
        said[state].append(f"{address}: {words}")
    effect = Effect(
        answers,
        starts_over=any(one.refused_us for one in found),
        delayed=not delivery.is_delayed and waited >= delivery.retry.delay_notice_after_seconds,
    )
    if waits:
        return Outcome.retry(said["deferred"][0], delay_seconds=_spread(min(waits)), effect=effect)
    if said["bounced"]:
        return Outcome.fail(said["bounced"][0], effect=effect)
    return Outcome.done({state: len(group) for state, group in said.items()}, effect=effect)


def _spread(seconds: float) -> float:
    """A little later, so that what waited together does not come back together."""
    return seconds * random.uniform(1.0, 1.2)  # noqa: S311 - not a secret


def _span(seconds: float) -> str:
    """So many days, hours or less, as people say it."""
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds:.3g} seconds"


def delivery_kind(emails: EmailManager, database: Database) -> JobKind:
    """The job kind of this room, for a process of its own connections."""
    return EmailDelivery(database, emails).kind()
