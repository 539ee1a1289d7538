"""Documents on their way: sent, sent again alone, halved, until all is known or time is over."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from backend.managers.logging._bulk import Sorted, halves, parts, wait_seconds
from backend.managers.logging._cluster import BulkTooLargeError, Cluster, ClusterError
from backend.managers.logging._ecs import Document
from backend.managers.logging.settings import LoggingSettings

_LEAST_BYTES: Final = 1024
_draw: Final = random.SystemRandom()


@dataclass(slots=True)
class Delivery:
    """What is known of documents.

    Attributes:
        found: Of those that something is known of.
        outage: Why nothing is known of the others; None: something is known of all.
        unsure: Whether some of the others may be there all the same.
        wait_seconds: How long Elasticsearch asks to be left alone.
    """

    found: Sorted = field(default_factory=Sorted)
    outage: str | None = None
    unsure: bool = False
    wait_seconds: float = 0.0

    @property
    def error(self) -> str | None:
        """What keeps documents from being done; None: all are done or dead."""
        if self.outage is not None:
            return self.outage
        for one in self.found.again.values():
            return f"Elasticsearch refuses a line with {one.status} {one.kind}: {one.text}"
        return None


class Courier:
    """Brings documents to Elasticsearch, as patiently as it is told to."""

    def __init__(self, settings: LoggingSettings, cluster: Cluster) -> None:
        """Begin with bulks as large as they may be."""
        self._settings = settings
        self._cluster = cluster
        self._most_bytes = settings.elasticsearch_bulk_bytes

    async def deliver(
        self, stream: str, documents: Sequence[Document], *, unsure: bool, seconds: float
    ) -> Delivery:
        """Send documents; those that are refused for now alone, after waits that double.

        Args:
            stream: Where to.
            documents: Of one tenant, in order.
            unsure: Whether they may have been sent before, so that nobody knows what came of it.
            seconds: After which no further try begins.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        done = Delivery()
        most = self._settings.elasticsearch_bulk_documents
        made = parts(documents, most_bytes=self._most_bytes, most_documents=most)
        waiting = deque((part, unsure) for part in made)
        failures = 0
        while waiting:
            part, look = waiting.popleft()
            try:
                told, rest = await self._send(stream, part, look=look)
            except BulkTooLargeError as error:
                if len(part) == 1:
                    done.found.add(Sorted(dead={part[0].seq: error.reason}))
                    continue
                # The next ones too: whoever refused this one is still there.
                size = sum(one.size_bytes for one in part)
                self._most_bytes = max(min(self._most_bytes, size // 2), _LEAST_BYTES)
                waiting.extendleft((half, look) for half in reversed(halves(part)))
                continue
            except ClusterError as error:
                failures += 1
                done.outage, done.wait_seconds = str(error), error.wait_seconds
                waiting.appendleft((part, look or error.unsure))
                wait = max(error.wait_seconds, self._wait(failures))
            else:
                done.found.add(told)
                done.outage, done.wait_seconds = None, 0.0
                if not rest:
                    failures = 0
                    continue
                failures += 1
                waiting.append((rest, False))
                wait = self._wait(failures)
            if loop.time() + wait >= ends:
                break
            await asyncio.sleep(wait)
        done.unsure = any(look for _, look in waiting)
        if waiting and done.error is None:
            done.outage = "Elasticsearch takes too long"
        return done

    def _wait(self, failures: int) -> float:
        return wait_seconds(failures, self._settings.elasticsearch_longest_wait_seconds, _draw)

    async def _send(
        self, stream: str, part: list[Document], *, look: bool
    ) -> tuple[Sorted, list[Document]]:
        """What became of a part, and what of it is to be sent again."""
        found = Sorted()
        if look:
            found.done = await self._cluster.find(stream, part)
        missing = [one for one in part if one.seq not in found.done]
        if missing:
            found.add(await self._cluster.bulk(stream, missing))
        return found, [one for one in missing if one.seq in found.again]
