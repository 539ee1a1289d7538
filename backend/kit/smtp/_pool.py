"""Hands messages to an SMTP relay over sessions that stay open between messages.

What can arrive twice, and why. SMTP has no exactly-once: the relay takes responsibility with its
2xx answer to the end of DATA, which alone is acceptance here, and that answer can be lost. So

- before the first octet of the message has left, nothing was handed over and nothing can double:
  a session that turns out to be dead, or to have served enough, is replaced at once;
- from that octet on the pool repeats nothing that was not refused in so many words. No answer at
  all says nothing, and its outcomes are ``uncertain``: deferred, because losing mail is worse than
  doubling it. Whoever sends it again does so with the same bytes and Message-ID, by which relays
  and readers can tell a copy.

What speaks of the relay and not of a recipient changes how the relay is used (see ``_flow``): fewer
sessions, fewer messages, a pause. The message only waits for that.
"""

import asyncio
import re
import ssl
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from time import monotonic
from typing import Final

from backend.kit.outbound import Outbound
from backend.kit.smtp._answers import RecipientOutcome, Reply, is_unknown
from backend.kit.smtp._flow import ALL_SENDERS, Flow, Hold, Pacing
from backend.kit.smtp._relay import SmtpRelay
from backend.kit.smtp._session import (
    GoneError,
    NoSessionError,
    Said,
    Session,
    Transaction,
    open_session,
    prepare,
)
from backend.kit.turns import LARGE_BYTES

# How often one message may change sessions before it goes back to the queue.
_MOST_TRIES: Final = 8
_BUSY_SECONDS: Final = 15.0
_STOPPED: Final = "not handed over: it was asked to stop"
_INSUFFICIENT: Final = 452
_WORDS_OF_SESSIONS: Final = re.compile(r"connection|session|concurren", re.IGNORECASE)
# A relay that has taken something within this time is not one that refuses us.
_DELIVERING_SECONDS: Final = 600.0


class _HeldError(Exception):
    """The message's turn has not come."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(hold.reason)
        self.hold = hold


class SmtpPool:
    """Sessions with one relay, opened on demand and reused last in, first out.

    As many as the relay is known to take; who waits for one waits in turn among the ``holder`` s. A
    session is closed after the relay's number of messages, when its server has refused one for a
    reason that may be the session's own, and after ``idle_seconds`` without one (relays close them,
    and finding out costs a round trip). Belongs to one event loop.
    """

    def __init__(
        self,
        relay: SmtpRelay,
        outbound: Outbound,
        *,
        idle_seconds: float = 30.0,
        tls_context: ssl.SSLContext | None = None,
        pacing: Pacing = Pacing(),  # noqa: B008 - it is frozen
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Open nothing yet; ``tls_context`` replaces the system's trust, for a private CA."""
        self.relay = relay
        self.flow = Flow(relay.where, relay.limits, pacing, clock=clock)
        self._outbound = outbound
        self._idle_seconds = idle_seconds
        self._tls_context = tls_context
        self._pacing = pacing
        self._clock = clock
        self._active = 0
        self._serving = 0
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._moved_at = clock()
        self._took_at: float | None = None
        self._idle: list[Session] = []
        self._reaper: asyncio.TimerHandle | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._drained = asyncio.Event()
        self._closed = False

    def hold(self, sender: str) -> Hold | None:
        """Why a message of this sender need not be begun now, if so."""
        paused = self.flow.paused(sender)
        if paused is not None:
            return paused
        if self._is_stuck():
            return self._busy()
        return None

    async def send(
        self,
        sender: str,
        recipients: Sequence[str],
        message: bytes | Callable[[], Awaitable[bytes]],
        *,
        still_wanted: Callable[[], bool] = lambda: True,
        holder: Hashable = None,
    ) -> list[RecipientOutcome]:
        """Hand one message over; one outcome per recipient, in their order.

        Waits for a session, not longer than the relay moves; then ``still_wanted`` is asked a last
        time, before each transaction, and after a no nothing more is sent; when nothing was sent
        before either, no outcome is returned. ``sender`` and ``recipients`` are addresses;
        ``message`` needs no dot-stuffing, and may be what makes it: it is asked once there is a
        place, so that only messages on their way are held. Never raises for what the relay or the
        network does.

        Raises:
            RuntimeError: The pool is closed.
            Exception: Whatever ``message`` raises.
        """
        if self._closed:
            raise RuntimeError("The SMTP pool is closed.")
        letter = _Letter(sender, recipients)
        while letter.open:
            try:
                self._refuse_paused(letter)
                await self._wait_for_turn()
                await self._enter(holder)
            except _HeldError as held:
                letter.hold(held.hold)
                break
            try:
                # Refused to somebody else meanwhile: a wrong password is not tried thirty times.
                self._refuse_paused(letter)
                if not letter.payload:
                    letter.payload = await _prepared(message)
                if not still_wanted():
                    if not letter.outcomes:
                        return []
                    letter.hold(Hold(_STOPPED, 0.0))
                    break
                await self._hand_over(letter)
            except _HeldError as held:
                letter.hold(held.hold)
            finally:
                self._leave()
            if letter.tries > _MOST_TRIES:
                letter.hold(self._busy())
        return [letter.outcomes[index] for index in range(len(recipients))]

    async def aclose(self) -> None:
        """Let running sends finish, say goodbye on every connection, accept no more. Idempotent."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        while self._active:
            self._drained.clear()
            await self._drained.wait()
        while self._idle:
            self._dismiss(self._idle.pop())
        while self._farewells:
            await asyncio.wait(self._farewells)

    # --- waiting ------------------------------------------------------------------------------

    def _refuse_paused(self, letter: "_Letter") -> None:
        if letter.probes:
            return
        paused = self.flow.paused(letter.sender)
        if paused is not None:
            raise _HeldError(paused)
        letter.probes = self.flow.probe(letter.sender)

    async def _wait_for_turn(self) -> None:
        turn = self.flow.turn(self._pacing.hold_seconds)
        if isinstance(turn, Hold):
            raise _HeldError(turn)
        if turn > 0:
            await asyncio.sleep(turn)

    async def _enter(self, holder: Hashable) -> None:
        """Take a place; each holder's next in turn, so that a long queue delays its owner alone."""
        if self._active < self.flow.connections and not self._waiting:
            self._active += 1
            return
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(holder, deque()).append(place)
        self._admit()
        try:
            while not place.done():
                await asyncio.wait([place], timeout=self._pacing.hold_seconds)
                if not place.done():
                    self._admit()  # a limit may have risen meanwhile
                if not place.done() and self._is_stuck():
                    raise _HeldError(self._busy())
        except BaseException:
            if place.done():
                self._leave()
            else:
                self._forget(holder, place)
            raise

    def _leave(self) -> None:
        self._active -= 1
        self._admit()
        self._drained.set()

    def _admit(self) -> None:
        most = self.flow.connections
        while self._waiting and self._active < most:
            holder, places = next(iter(self._waiting.items()))
            place = places.popleft()
            if places:
                self._waiting.move_to_end(holder)
            else:
                del self._waiting[holder]
            self._active += 1
            place.set_result(None)

    def _forget(self, holder: Hashable, place: asyncio.Future[None]) -> None:
        places = self._waiting.get(holder)
        if places is not None and place in places:
            places.remove(place)
            if not places:
                del self._waiting[holder]

    def _is_stuck(self) -> bool:
        """Whether all sessions are taken, and none has heard from the server for a while."""
        if self._active < self.flow.connections:
            return False
        return self._clock() - self._moved_at >= self._pacing.hold_seconds

    def _busy(self) -> Hold:
        return Hold(f"All sessions with {self.relay.where} are busy", _BUSY_SECONDS)

    def _note_life(self) -> None:
        self._moved_at = self._clock()

    # --- one message --------------------------------------------------------------------------

    async def _hand_over(self, letter: "_Letter") -> None:
        """One transaction; settles some of the letter's recipients, or changes the relay's flow."""
        session = await self._session(letter)
        if session is None:
            return
        used = session.messages
        session.messages += 1
        self._serving += 1
        try:
            found = await session.transact(
                letter.sender,
                letter.open,
                letter.payload,
                delivering=self._is_delivering(),
                most=self.flow.limits.recipients_per_transaction,
            )
        except GoneError as gone:
            self._after_loss(letter, gone.reply, used=used)
            return
        except BaseException:
            # Also when cancelled: the session is in the middle of a dialogue nobody will finish.
            session.close()
            raise
        finally:
            self._serving -= 1
        self.flow.worked()
        keep = self._settle(letter, found, used=used)
        most = self.flow.limits.messages_per_session
        if letter.fresh:
            # The new session must not meet this one at the server.
            await session.quit()
        elif not keep or self._closed or (most is not None and session.messages >= most):
            self._dismiss(session)
        elif session.is_open:
            self._put_idle(session)

    async def _session(self, letter: "_Letter") -> Session | None:
        """A session, new if the letter needs one; None when it has to wait for another."""
        reused = None if letter.fresh else self._take_idle()
        if reused is not None:
            return reused
        while self._idle and self._active + len(self._idle) > self.flow.connections:
            self._dismiss(self._idle.pop(0))
        if self._farewells and self._active + len(self._farewells) > self.flow.connections:
            await asyncio.wait(self._farewells)
        self._note_life()
        try:
            session = await open_session(
                self.relay, self._outbound, self._tls_context, self._note_life
            )
        except NoSessionError as error:
            self._after_refusal(letter, error)
            return None
        self.flow.opened()
        self._admit()
        return session

    def _after_refusal(self, letter: "_Letter", error: NoSessionError) -> None:
        """There was no session to be had."""
        others = self._serving + len(self._idle)
        if others and (not error.refused or _WORDS_OF_SESSIONS.search(error.reply.text)):
            # It serves others of ours: one less, and the letter waits for one of those.
            self.flow.refused_connection(others)
            letter.try_again(fresh=False)
        elif error.refused:
            self._pause(ALL_SENDERS, letter, error.reply)
        else:
            self.flow.failed(error.reply.text)
            letter.defer(Said(error.reply, "later"))

    def _after_loss(self, letter: "_Letter", reply: Reply, *, used: int) -> None:
        """A session ended before anything of the message had left."""
        if used:
            # Closed while idle, or it had served enough. Its neighbours are as old, so a new one.
            letter.try_again(fresh=True, suspect=used if reply.code is not None else 0)
        elif self._serving > 1 and reply.code is not None:
            self.flow.refused_connection(self._serving - 1)
            letter.try_again(fresh=False)
        else:
            self.flow.failed(reply.text)
            letter.defer(Said(reply, "later"))

    def _settle(self, letter: "_Letter", found: Transaction, *, used: int) -> bool:
        """Note what was said; whether the session is worth keeping."""
        keep = found.refused is None
        letter.fresh = False
        for index, said in found.said.items():
            letter.settle(index, said)
            keep = keep and (said.verdict != "later" or _is_of_mailbox(said.reply))
        # What was refused in the server's place says nothing of how it takes our sender.
        heard = any(said.reply.code is not None or said.uncertain for said in found.said.values())
        if heard and found.refused is None:
            self.flow.took(letter.sender)
        if found.taken:
            self._took_at = self._clock()
            if letter.suspect:
                # What an old session refused, a new one took.
                self.flow.refused_session(letter.suspect)
                letter.suspect = 0
        if found.crowded and found.taken and found.refused is None:
            limit = self.flow.limits.recipients_per_transaction
            if limit is None or found.taken < limit:
                self.flow.refused_crowd(found.taken)
        if found.refused is not None:
            self._after_no(letter, *found.refused, used=used)
        return keep

    def _after_no(self, letter: "_Letter", stage: str, said: Said, *, used: int) -> None:
        """The relay refused the rest of the transaction: us, our sender, or just now."""
        if said.verdict in {"us", "sender"}:
            who = letter.sender if said.verdict == "sender" else ALL_SENDERS
            self._pause(who, letter, said.reply)
        elif said.verdict == "throttled":
            self.flow.refused_rate()
            turn = self.flow.turn(-1.0)
            seconds = turn.seconds if isinstance(turn, Hold) else turn
            letter.defer(said, retry_seconds=max(seconds, 0.1))
        elif said.verdict == "refused":
            letter.defer(said)
        elif used and (stage != "data" or said.reply.code == _INSUFFICIENT):
            # A fresh session may do: relays count the messages of one.
            letter.try_again(fresh=True, suspect=used)
        else:
            # Said to a fresh one as well, so it is no matter of sessions.
            if stage == "mail":
                self.flow.refused_rate()
            letter.defer(said)

    def _pause(self, sender: str, letter: "_Letter", reply: Reply) -> None:
        self.flow.pause(sender, "refused", reply.code, reply.text)
        hold = self.flow.paused(letter.sender)
        seconds = 0.0 if hold is None else hold.seconds
        letter.defer(Said(reply, "us"), retry_seconds=seconds)

    def _is_delivering(self) -> bool:
        return self._took_at is not None and self._clock() - self._took_at < _DELIVERING_SECONDS

    # --- kept sessions ------------------------------------------------------------------------

    def _take_idle(self) -> Session | None:
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        most = self.flow.limits.messages_per_session
        while self._idle:
            session = self._idle.pop()
            spent = most is not None and session.messages >= most
            if session.is_open and session.idle_since >= oldest and not spent:
                return session
            self._dismiss(session)
        return None

    def _put_idle(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        session.idle_since = loop.time()
        self._idle.append(session)
        if self._reaper is None:
            self._reaper = loop.call_later(self._idle_seconds, self._reap)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_seconds
        # Last in, first out keeps the list sorted by idle_since.
        while self._idle and self._idle[0].idle_since <= oldest:
            self._dismiss(self._idle.pop(0))
        self._reaper = (
            loop.call_at(self._idle[0].idle_since + self._idle_seconds, self._reap)
            if self._idle
            else None
        )

    def _dismiss(self, session: Session) -> None:
        """Say goodbye in the background: politeness must not delay the next message."""
        if session.is_open:
            task = asyncio.get_running_loop().create_task(session.quit())
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)


class _Letter:
    """One message on its way: who is still open, and what was said of the others."""

    __slots__ = (
        "_addresses",
        "_open",
        "fresh",
        "outcomes",
        "payload",
        "probes",
        "sender",
        "suspect",
        "tries",
    )

    def __init__(self, sender: str, recipients: Sequence[str]) -> None:
        self.sender = sender
        self.payload = b""
        self.outcomes: dict[int, RecipientOutcome] = {}
        self.tries = 0
        # Whether it is the one that finds out if a pause may end.
        self.probes = False
        # Whether it needs a new session, and after how many messages an old one refused it.
        self.fresh = False
        self.suspect = 0
        self._addresses = list(recipients)
        self._open = dict(enumerate(recipients))

    @property
    def open(self) -> list[tuple[int, str]]:
        """Whoever has no outcome yet."""
        return list(self._open.items())

    def try_again(self, *, fresh: bool, suspect: int = 0) -> None:
        """The session was at fault and not the message: at once, on another."""
        self.tries += 1
        self.fresh = fresh
        self.suspect = self.suspect or suspect

    def settle(self, index: int, said: Said) -> None:
        """What was said of one."""
        reply, verdict = said.reply, said.verdict
        state = {"yes": "accepted", "refused": "bounced"}.get(verdict, "deferred")
        del self._open[index]
        self.outcomes[index] = RecipientOutcome(
            self._addresses[index],
            state,  # type: ignore[arg-type]  # one of the table's values
            reply.code,
            reply.text,
            uncertain=said.uncertain,
            unknown=verdict == "refused"
            and said.of_one
            and is_unknown(reply, at_rcpt=said.at_rcpt),
        )

    def defer(self, said: Said, *, retry_seconds: float | None = None) -> None:
        """The same answer for all who are open."""
        state = "bounced" if said.verdict == "refused" else "deferred"
        for index, address in self._open.items():
            self.outcomes[index] = RecipientOutcome(
                address,
                state,  # type: ignore[arg-type]  # one of the two
                said.reply.code,
                said.reply.text,
                retry_seconds=retry_seconds,
                refused_us=said.verdict == "us",
            )
        self._open.clear()

    def hold(self, hold: Hold) -> None:
        """All who are open wait for their turn."""
        for index, address in self._open.items():
            self.outcomes[index] = RecipientOutcome(
                address,
                "deferred",
                hold.code,
                hold.reason,
                retry_seconds=hold.seconds,
                refused_us=hold.refused_us,
            )
        self._open.clear()


async def _prepared(message: bytes | Callable[[], Awaitable[bytes]]) -> bytes:
    written = message if isinstance(message, bytes) else await message()
    if len(written) <= LARGE_BYTES:
        return prepare(written)
    return await asyncio.to_thread(prepare, written)


def _is_of_mailbox(reply: Reply) -> bool:
    """Whether a deferral is this mailbox's own: full, unknown yet, or greylisted."""
    enhanced = reply.enhanced or ""
    return enhanced.startswith(("1.", "2.")) or "grey" in reply.text.lower()
