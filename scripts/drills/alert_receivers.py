"""Programs that are told of alerts: each takes a message in its own way, and remembers it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from tests.support.hooks import HookServer

HEEDS, FORGETS, STALLS, NEXT = "heeds", "forgets", "stalls", "next"
FIRST: Final = (HEEDS, FORGETS, STALLS)
"""Who is told at once; ``next`` is told when nobody saw to it."""
_STALLED: Final = 6
"""Of so many messages one is not answered the first time."""
_STALL_SECONDS: Final = 25.0
"""Longer than anybody waits for it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt, when it came."""

    at: float
    key: str
    kind: str
    alerts: frozenset[str]
    quiet: frozenset[str]
    """What their labels ``quiet`` say."""


class Receivers(HookServer):
    """All of them behind one port, by their paths.

    ``heeds`` honours ``webhook-id``: what has a known one is answered and not taken. ``forgets``
    takes whatever comes. ``stalls`` takes a message and does not answer its first attempt, of some.
    """

    def __init__(self) -> None:
        super().__init__()
        self.got: dict[str, list[Delivery]] = {name: [] for name in (*FIRST, NEXT)}
        self._stalled: set[str] = set()
        self._keys: dict[str, set[str]] = {name: set() for name in (HEEDS, NEXT)}

    def address(self, name: str) -> str:
        """Where one of them is."""
        return f"http://127.0.0.1:{self.port}/{name}"

    async def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Take a message as the one it is for does."""
        name, key, said = path.strip("/"), headers["webhook-id"], json.loads(body)
        known = self._keys.get(name)
        if known is not None:
            if key in known:
                return 200
            known.add(key)
        self.got[name].append(_delivery(key, said))
        if name == STALLS and crc32(key.encode()) % _STALLED == 0 and key not in self._stalled:
            self._stalled.add(key)
            await asyncio.sleep(_STALL_SECONDS)
        return 204

    @property
    def unanswered(self) -> Counter[str]:
        """Messages that were taken and whose sender was gone before the answer, and how often.

        On a busy machine that may be any of them, and not only one that stalls.
        """
        return Counter(headers["webhook-id"] for headers in self.unheard)

    def twice(self) -> Sequence[str]:
        """Alerts of which somebody was told the same in two messages."""
        found = []
        for name, got in self.got.items():
            keys = {one.key: one for one in got}
            seen = Counter((alert, one.kind) for one in keys.values() for alert in one.alerts)
            found += [
                f"{name}: {kind} {alert}" for (alert, kind), times in seen.items() if times > 1
            ]
        return found

    def again(self, name: str) -> Counter[str]:
        """How often the same message came again, by its key."""
        times = Counter(one.key for one in self.got[name])
        return Counter({key: count - 1 for key, count in times.items() if count > 1})


def _delivery(key: str, said: Mapping[str, Any]) -> Delivery:
    alerts = said["alerts"]
    return Delivery(
        time.time(),
        key,
        said["kind"].removeprefix("alert."),
        frozenset(one["id"] for one in alerts),
        frozenset(one["labels"].get("quiet", "") for one in alerts),
    )
