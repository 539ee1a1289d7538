"""How much a relay takes just now, learned from what it says; and when it is left alone.

Limits fall by half or to what was seen to work, and rise again after a time without a refusal, by
small steps: like TCP's congestion control, so that several processes which know nothing of each
other share a relay's limit. Nothing here sleeps or sends; time is the given clock's.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf, log2
from time import monotonic
from typing import Final, Literal

from backend.kit.smtp._relay import Limits

PauseKind = Literal["refused", "unreachable"]
ALL_SENDERS: Final = ""

_LEAST_RATE: Final = 1 / 60
_SEEN_SECONDS: Final = 10.0
_FAILURES: Final = 3
_MOST_DOUBLINGS: Final = 10
# Until one session has worked, so few may try at once: a server that takes connections and says
# nothing holds no more of us.
_UNPROVEN: Final = 2


@dataclass(frozen=True, slots=True)
class Pacing:
    """How patient the flow is, in seconds; a drill runs it faster."""

    # Without a refusal, a learned limit is given up step by step.
    recover_seconds: float = 60.0
    # The first pause of a relay that refuses us, and of one that is not reached; both double.
    pause_seconds: float = 60.0
    rest_seconds: float = 5.0
    most_pause_seconds: float = 900.0
    # A message waits so long for a connection that does not move, or for its turn; then it goes
    # back, so that nobody else's work waits behind it.
    hold_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent before ``until`` on the flow's clock, by one sender or by all ("")."""

    sender: str
    kind: PauseKind
    code: int | None
    reason: str
    until: float
    times: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now: why, and after how many seconds to ask again."""

    reason: str
    seconds: float
    refused_us: bool = False
    code: int | None = None


class Flow:
    """The state of one relay; ``most`` are limits that no recovery exceeds."""

    def __init__(
        self,
        where: str,
        most: Limits,
        pacing: Pacing,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._where = where
        self._most = most
        self._pacing = pacing
        self._clock = clock
        self._learned: dict[str, float] = {}
        self._rise_at: dict[str, float] = {}
        self._fallen_at: dict[str, float] = {}
        self._pauses: dict[str, Pause] = {}
        self._next_turn = -inf
        self._queue_ends = -inf
        self._accepted: deque[float] = deque(maxlen=1_000)
        self._failures = 0
        self._failing = ""
        self._proven = False
        # Counts changes that others should hear of: what is learned, and pauses.
        self.revision = 0

    # --- what is allowed ----------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """What the relay may be asked for now."""
        if not self._learned:
            return self._most  # asked several times for each message
        self._recover()
        return self._most.within(self._as_limits())

    @property
    def learned(self) -> dict[str, float]:
        """The limits that its answers taught us, by the names of :class:`Limits`."""
        self._recover()
        return {name: _whole(name, value) for name, value in self._learned.items()}

    @property
    def connections(self) -> int:
        """How many sessions may be in use at once."""
        most = self.limits.connections
        return most if self._proven else min(most, _UNPROVEN)

    @property
    def pauses(self) -> tuple[Pause, ...]:
        """Whoever is not sending at present, and why."""
        return tuple(self._pauses.values())

    def paused(self, sender: str) -> Hold | None:
        """Why this sender has to wait, if it has to."""
        now = self._clock()
        for key in (ALL_SENDERS, sender):
            pause = self._pauses.get(key)
            if pause is not None and now < pause.until:
                return Hold(pause.reason, pause.until - now, pause.kind == "refused", pause.code)
        return None

    def probe(self, sender: str) -> bool:
        """Whether a pause is over and this message is to find out what has become of its reason.

        The first to ask is; the others wait until that is seen.
        """
        soon = self._clock() + self._pacing.hold_seconds
        over = [key for key in (ALL_SENDERS, sender) if key in self._pauses]
        for key in over:
            self._pauses[key] = replace(self._pauses[key], until=soon)
        return bool(over)

    def turn(self, wait_seconds: float) -> float | Hold:
        """Take the next turn at the present rate; the seconds until it, at most ``wait_seconds``.

        Whoever would have to wait longer takes none and is told when to come back.
        """
        rate = self.limits.rate_per_second
        if rate is None:
            return 0.0
        now = self._clock()
        wait = max(self._next_turn - now, 0.0)
        if wait <= wait_seconds:
            self._next_turn = now + wait + 1 / rate
            return wait
        # Those who come back are spread over the time that they all need.
        self._queue_ends = max(self._queue_ends, self._next_turn) + 1 / rate
        seconds = self._queue_ends - now
        if "rate_per_second" in self._learned:
            # It will double again and again. Who trusted a rate that was learned from a first
            # refusal would still wait when the relay has long been found to take ten times more.
            step = self._pacing.recover_seconds
            seconds = min(seconds, step * log2(1 + seconds / step))
        return Hold(f"{self._where} takes {rate:.3g} messages a second", seconds)

    # --- what is learned ----------------------------------------------------------------------

    def opened(self) -> None:
        """The server greeted us and took our log-in."""
        self._proven = True

    def worked(self) -> None:
        """A session serves: a server that only greets does not."""
        self._failures = 0
        self._end_pause(ALL_SENDERS, "unreachable")

    def took(self, sender: str) -> None:
        """It took a message, or spoke of nobody but a recipient: we are welcome."""
        self._accepted.append(self._clock())
        for key in (ALL_SENDERS, sender):
            self._end_pause(key, "refused")

    def refused_connection(self, others: int) -> None:
        """One more session than ``others`` is too many."""
        self._learn("connections", max(others, 1))

    def refused_rate(self) -> None:
        """We are too fast, whatever the present rate is."""
        now = self._clock()
        held = self._learned.get("rate_per_second")
        if held is not None and now < self._fallen_at["rate_per_second"] + max(1.0, 1 / held):
            return  # said to a message that was begun before the rate fell
        while self._accepted and self._accepted[0] < now - _SEEN_SECONDS:
            self._accepted.popleft()
        seen = len(self._accepted) / max(now - self._accepted[0], 1.0) if self._accepted else 0.0
        base = seen or 1.0
        if held is not None:
            # What it took of late it will take again, unless it was that which was too much.
            base = min(max(seen, held / 2), held)
        rate = max(0.8 * base, _LEAST_RATE)
        self._learn("rate_per_second", rate)
        self._next_turn = now + 1 / rate
        self._queue_ends = self._next_turn

    def refused_session(self, after: int) -> None:
        """A session is good for so many messages only."""
        self._learn("messages_per_session", max(after, 1))

    def refused_crowd(self, accepted: int) -> None:
        """A transaction may have so many recipients only."""
        self._learn("recipients_per_transaction", max(accepted, 1))

    def failed(self, reason: str) -> None:
        """There was no session to be had, with nobody else's being the cause."""
        self._failures += 1
        self._proven = False
        if self._failures >= _FAILURES or ALL_SENDERS in self._pauses:
            self.pause(ALL_SENDERS, "unreachable", None, reason)

    def pause(self, sender: str, kind: PauseKind, code: int | None, reason: str) -> Pause:
        """Leave the relay alone for a while, longer each time in a row."""
        now = self._clock()
        before = self._pauses.get(sender)
        if before is not None and before.kind == kind and now < before.until - self._soon():
            return before  # said to somebody who was on the way already
        times = before.times + 1 if before is not None and before.kind == kind else 1
        first = self._pacing.pause_seconds if kind == "refused" else self._pacing.rest_seconds
        seconds = min(
            first * 2.0 ** min(times - 1, _MOST_DOUBLINGS), self._pacing.most_pause_seconds
        )
        made = Pause(sender, kind, code, reason, now + seconds, times)
        self._pauses[sender] = made
        self.revision += 1
        return made

    # --- what others know ---------------------------------------------------------------------

    def adopt_pause(self, pause: Pause) -> None:
        """Another process paused the relay."""
        ours = self._pauses.get(pause.sender)
        if ours is None or ours.until < pause.until:
            self._pauses[pause.sender] = pause

    def drop_pause(self, sender: str) -> None:
        """Somebody, or another process, ended the pause."""
        self._pauses.pop(sender, None)

    def adopt_limits(self, learned: Mapping[str, float]) -> None:
        """What another process learned: the stricter holds."""
        for name, value in learned.items():
            if value < self._learned.get(name, inf):
                self._note(name, value)

    # --- inside -------------------------------------------------------------------------------

    def _soon(self) -> float:
        return self._pacing.hold_seconds

    def _end_pause(self, sender: str, kind: PauseKind) -> None:
        pause = self._pauses.get(sender)
        if pause is not None and pause.kind == kind:
            del self._pauses[sender]
            self.revision += 1

    def _learn(self, name: str, value: float) -> None:
        held = self._learned.get(name)
        if held is None or value < held:
            self.revision += 1
            self._note(name, value)
        else:
            self._note(name, held)

    def _note(self, name: str, value: float) -> None:
        now = self._clock()
        self._learned[name] = value
        self._fallen_at[name] = now
        self._rise_at[name] = now + self._pacing.recover_seconds

    def _recover(self) -> None:
        if not self._learned:
            return
        now = self._clock()
        for name, value in list(self._learned.items()):
            if now < self._rise_at[name]:
                continue
            self._rise_at[name] = now + self._pacing.recover_seconds
            risen = value * 2 if name == "rate_per_second" else value + max(1, value // 4)
            most = getattr(self._most, name)
            # Where nothing is given as the most, a limit that is never met any more is forgotten.
            if name == "rate_per_second":
                self._queue_ends = now + max(self._queue_ends - now, 0.0) / 2
            if risen >= (most if most is not None else 1_000):
                del self._learned[name]
            else:
                self._learned[name] = risen
            self.revision += 1

    def _as_limits(self) -> Limits:
        most: dict[str, float] = {"connections": self._most.connections}
        whole = {name: _whole(name, value) for name, value in self._learned.items()}
        return Limits(**(most | whole))  # type: ignore[arg-type]  # each as its field has it


def _whole(name: str, value: float) -> float:
    return value if name == "rate_per_second" else int(value)
