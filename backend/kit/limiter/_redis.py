"""Decisions for a whole fleet: one Lua script in Redis looks and charges, by Redis's own clock."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from backend.core.errors import UnavailableError
from backend.core.ids import uuid7
from backend.kit.limiter._levels import (
    TICKS,
    UNIT_BYTES,
    Charges,
    Level,
    Slot,
    Slots,
    Use,
    Verdict,
)

redis: Any
try:
    import redis.asyncio
    import redis.asyncio.retry
    import redis.backoff
    import redis.exceptions
except ImportError:  # the embedded shape does not install it
    redis = None

_MOST_AT_ONCE: Final = 256
_COMMANDS: Final = frozenset({"ZCARD", "ZREM"})
_LEASE_SECONDS: Final = 30
BEAT_SECONDS: Final = 5.0
"""How often a process says that it is there; three silent beats, and it is counted no more."""

# Ticks since the beginning of 2026: exact doubles for seventeen years from then.
_CLOCK: Final = """
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 16000000 + tonumber(time[2]) * 16
"""

# KEYS: of each level, then of the slots. ARGV: 1 to charge; how many levels; the slots' bound, 0
# for none; the slot's name; its lease in ticks; then of each level the interval, the tolerance, the
# cost, and 1 if it counts requests. Answers: admitted or not, which level (0: the slots), what it
# has left, and the ticks until it is whole, or would admit.
_DECIDE: Final = (
    _CLOCK
    + """
local count, most = tonumber(ARGV[2]), tonumber(ARGV[3])
if most > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[count + 1], '-inf', now)
  if redis.call('ZCARD', KEYS[count + 1]) >= most then return {0, 0, 0, 16000000} end
end
local found = redis.call('MGET', unpack(KEYS, 1, count))
local intervals = {}
local arrivals, tightest, least, whole, refusing, deficit = {}, 1, -1, 0, 0, 0
for i = 1, count do
  local at = 2 + 4 * i
  local interval, tolerance = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local tat, was = string.match(found[i] or '', '(%d+) (%d+)')
  tat = math.max(tonumber(tat or now), now)
  if was and was ~= ARGV[at] then
    -- The limit has changed: so many requests stay used, as far as it can hold them.
    tat = now + math.min(math.ceil((tat - now) / tonumber(was)) * interval, tolerance)
  end
  tat = tat + interval * tonumber(ARGV[at + 2])
  arrivals[i], intervals[i] = tat, ARGV[at]
  local spare = tolerance + now - tat
  if spare < 0 then
    if -spare > deficit then refusing, deficit = i, -spare end
  elseif ARGV[at + 3] == '1' then
    local remaining = math.floor(spare / interval)
    if least < 0 or remaining < least then tightest, least, whole = i, remaining, tat - now end
  end
end
if deficit > 0 then return {0, refusing, 0, deficit} end
if ARGV[1] == '1' then
  for i = 1, count do
    local left = math.ceil((arrivals[i] - now) / 16000)
    if left > 0 then
      local kept = string.format('%.0f %s', arrivals[i], intervals[i])
      redis.call('SET', KEYS[i], kept, 'PX', left)
    end
  end
  if most > 0 then
    redis.call('ZADD', KEYS[count + 1], now + tonumber(ARGV[5]), ARGV[4])
    redis.call('PEXPIRE', KEYS[count + 1], math.ceil(tonumber(ARGV[5]) / 16000))
  end
end
return {1, tightest, least, whole}
"""
)

# KEYS: of each level. ARGV: its interval. Answers how long each is busy yet, in ticks.
_LOOK: Final = (
    _CLOCK
    + """
local left = {}
local found = redis.call('MGET', unpack(KEYS))
for i = 1, #KEYS do
  local tat, was = string.match(found[i] or '', '(%d+) (%d+)')
  if tat then
    left[i] = math.ceil(math.max(0, tonumber(tat) - now) / tonumber(was) * tonumber(ARGV[i]))
  else
    left[i] = 0
  end
end
return left
"""
)

# KEYS: of each level. Gives one request of each back.
_REFUND: Final = (
    _CLOCK
    + """
local found = redis.call('MGET', unpack(KEYS))
for i = 1, #KEYS do
  local tat, was = string.match(found[i] or '', '(%d+) (%d+)')
  if tat then
    tat = tonumber(tat) - tonumber(was)
    local left = math.ceil((tat - now) / 16000)
    if left > 0 then
      redis.call('SET', KEYS[i], string.format('%.0f %s', tat, was), 'PX', left)
    else
      redis.call('DEL', KEYS[i])
    end
  end
end
"""
)

# Says that a process is there, and that its slots are held; answers how many processes are.
_BEAT: Final = (
    _CLOCK
    + """
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) / 16000))
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], 'XX', now + tonumber(ARGV[3]), ARGV[i + 2])
  redis.call('PEXPIRE', KEYS[i], math.ceil(tonumber(ARGV[3]) / 16000))
end
return redis.call('ZCARD', KEYS[1])
"""
)

_HELD: Final = (
    _CLOCK
    + """
return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
"""
)


class SharedLimitsUnavailableError(UnavailableError):
    """Redis does not answer, not in time, or not as it should."""

    code, title = "shared_limits_unavailable", "The shared limits are not available"


class _Call(NamedTuple):
    """One script, or command, to run and who waits for its answer; nobody, for what comes back."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[Any]
    answer: "asyncio.Future[Any] | None"


class RedisLimiter:
    """Decides for every process that uses the same Redis and prefix.

    Decisions that are asked for while others are on their way go together with the next, over one
    connection: each is a script of its own and atomic by itself. No answer takes longer than
    ``timeout_seconds``.

    Args:
        url: ``redis://`` or ``rediss://`` of one server (not a Redis Cluster: the levels of a
            decision have keys of their own).
        prefix: Of all keys.
        timeout_seconds: After which the limits count as unavailable.
    """

    def __init__(
        self, url: str, *, prefix: str = "email-sender:", timeout_seconds: float = 0.1
    ) -> None:
        if redis is None:
            msg = "Redis needs the 'cluster' extra: pip install email-sender[cluster]"
            raise RuntimeError(msg)
        # Tried once: who asks has a limiter of its own to go on with.
        self._client: Any = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
            client_name="email-sender",
        )
        self._prefix = prefix
        self._timeout = timeout_seconds
        self._shas: dict[str, str] = {}
        self._waiting: list[_Call] = []
        self._sending: asyncio.Task[None] | None = None
        self._process = uuid7()
        self._numbers = itertools.count()
        self._slots: dict[str, str] = {}

    async def decide(
        self,
        charges: Charges,
        policy: bytes,
        *,
        charge: bool = True,
        cost: int = 1,
        size: int = 0,
        slots: tuple[Slots, str] | None = None,
    ) -> Verdict:
        """As :meth:`Limiter.decide`.

        Raises:
            SharedLimitsUnavailableError: It may have been charged, or not.
        """
        prefix = self._prefix
        keys = [f"{prefix}{level.name}:{key}" for level, key in charges]
        arguments: list[Any] = [1 if charge else 0, len(charges), 0, "", 0]
        member = ""
        if slots is not None:
            bound, holder = slots
            member = f"{self._process}:{next(self._numbers)}"
            keys.append(f"{prefix}{bound.name}:{holder}")
            arguments[2:] = bound.most, member, _LEASE_SECONDS * TICKS
        units = -(-size // UNIT_BYTES)
        for level, _ in charges:
            arguments += level.wire
            arguments += (units, 0) if level.weighs else (cost, 1)
        allowed, place, remaining, ticks = await self._ask(_DECIDE, keys, arguments)
        named: Level | Slots = charges[place - 1][0] if place else slots[0]  # type: ignore[index]
        seconds = -(-ticks // TICKS)
        if not allowed:
            return Verdict(False, named.name, 0, seconds, ticks / TICKS, policy)
        slot = None
        if slots is not None and charge:
            slot = Slot(self._release, *slots, member)
            self._slots[member] = keys[-1]
        return Verdict(True, named.name, remaining, seconds, 0.0, policy, slot)

    def _release(self, slot: Slot) -> None:
        key = self._slots.pop(slot.member)
        self._send(_Call("ZREM", (key,), (slot.member,), None))

    def refund(self, charges: Charges) -> None:
        """As :meth:`Limiter.refund`, soon; what Redis does not hear of stays charged."""
        keys = [f"{self._prefix}{level.name}:{key}" for level, key in charges]
        self._send(_Call(_REFUND, keys, (), None))

    async def usage(self, charges: Charges) -> list[Use]:
        """How much of each level is used; charges nothing.

        Raises:
            SharedLimitsUnavailableError: Nobody knows.
        """
        keys = [f"{self._prefix}{level.name}:{key}" for level, key in charges]
        intervals = [level.wire[0] for level, _ in charges]
        found = []
        for (level, _), ticks in zip(charges, await self._ask(_LOOK, keys, intervals), strict=True):
            interval, tolerance = map(int, level.wire)
            spare = max(0, tolerance - ticks) // interval
            found.append(level.used(spare, ticks / TICKS))
        return found

    async def under_way(self, slots: tuple[Slots, str]) -> int:
        """How many requests somebody has under way.

        Raises:
            SharedLimitsUnavailableError: Nobody knows.
        """
        return int(await self._ask(_HELD, [f"{self._prefix}{slots[0].name}:{slots[1]}"], ()))

    async def beat(self) -> int:
        """Say that this process is there, and that its slots are; how many processes are.

        Raises:
            SharedLimitsUnavailableError: Nobody was told.
        """
        silence, lease = round(3 * BEAT_SECONDS * TICKS), _LEASE_SECONDS * TICKS
        held = list(self._slots.items())
        keys = [f"{self._prefix}processes", *(key for _, key in held)]
        arguments = [self._process, silence, lease, *(member for member, _ in held)]
        return int(await self._ask(_BEAT, keys, arguments))

    async def count_processes(self) -> int:
        """How many processes have said of late that they are there.

        Raises:
            SharedLimitsUnavailableError: Nobody knows.
        """
        return int(await self._ask("ZCARD", [f"{self._prefix}processes"], ()))

    async def aclose(self) -> None:
        """Tell whoever is waited for, and close the connection."""
        if self._sending is not None:
            await self._sending
        await self._client.aclose()

    async def _ask(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(_Call(script, keys, arguments, answer))
        return await answer

    def _send(self, call: _Call) -> None:
        self._waiting.append(call)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._waiting:
            calls = self._waiting[:_MOST_AT_ONCE]
            del self._waiting[:_MOST_AT_ONCE]
            try:
                async with asyncio.timeout(self._timeout):
                    answers = await self._run(calls)
            except (redis.exceptions.RedisError, OSError, TimeoutError) as exc:
                answers = [exc] * len(calls)
                # What comes late would be taken for the answer to the next.
                await self._client.connection_pool.disconnect()
            for call, answer in zip(calls, answers, strict=True):
                if call.answer is None or call.answer.done():
                    continue
                if isinstance(answer, Exception):
                    failure = SharedLimitsUnavailableError(headers={"Retry-After": "1"})
                    failure.__cause__ = answer
                    call.answer.set_exception(failure)
                else:
                    call.answer.set_result(answer)

    async def _run(self, calls: Sequence[_Call]) -> list[Any]:
        """The answers, or the error of each call, after one round trip; two for a new script."""
        answers = await self._pipeline(calls)
        lost = redis.exceptions.NoScriptError
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, lost)]
        if unknown:
            self._shas.clear()
            again = await self._pipeline([calls[i] for i in unknown])
            for i, answer in zip(unknown, again, strict=True):
                answers[i] = answer
        return answers

    async def _pipeline(self, calls: Sequence[_Call]) -> list[Any]:
        for script in {call.script for call in calls} - self._shas.keys() - _COMMANDS:
            self._shas[script] = await self._client.script_load(script)
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            if call.script in _COMMANDS:
                pipeline.execute_command(call.script, *call.keys, *call.arguments)
            else:
                sha = self._shas[call.script]
                pipeline.execute_command(
                    "EVALSHA", sha, len(call.keys), *call.keys, *call.arguments
                )
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers
