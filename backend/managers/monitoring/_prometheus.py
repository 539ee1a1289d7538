"""Questions to a Prometheus: walled for tenants, bounded for everybody."""

import asyncio
import json
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from prometheus_api_client import PrometheusConnect

from backend.kit.outbound import (
    BoundedSession,
    Breaker,
    LongAnswerError,
    RefusedAnswerError,
    SlowAnswerError,
    UnreachableError,
)
from backend.kit.shares import Shares
from backend.managers.monitoring._promql import (
    MAX_CHARACTERS,
    confine,
    confine_selector,
    selector_of,
)
from backend.managers.monitoring.errors import (
    BadQueryError,
    PrometheusAbsentError,
    PrometheusUnavailableError,
    QueryBusyError,
    QueryRefusedError,
    QueryTimeoutError,
)
from backend.managers.monitoring.settings import MonitoringSettings

MAX_SELECTORS: Final = 10
MAX_LISTED: Final = 10_000
_BREAKER_FAILURES: Final = 5
_BREAKER_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 5
_USUAL_POINTS: Final = 250
_PLACE: Final = re.compile(r"(\d+):(\d+): (?:parse error: )?(.*)", re.DOTALL)
_PREFIX: Final = re.compile(r'^invalid parameter "[^"]*": (?:\d+:\d+: )?')

T = TypeVar("T")
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the tenant whose share is used, and whether its wall stands."""

    tenant_id: str
    sees_all: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One series of an answer: a value for each time, as Prometheus writes it."""

    labels: Labels
    times: Sequence[float]
    values: Sequence[str]
    histograms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query came to; ``warnings`` say what may be missing in it."""

    lines: Sequence[Line]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class RangeAnswer(Answer):
    """The same of a window, and how long its steps are."""

    step_seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """What is scraped; tenants are told neither its address nor what it said when it failed."""

    job: str
    health: str
    labels: Labels
    scraped_at: str | None
    seconds: float
    url: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that holds for a set of labels."""

    labels: Labels
    annotations: Labels
    state: str
    since: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording or alerting rule; of the platform's, tenants see no query and their alerts."""

    group: str
    name: str
    kind: str
    health: str
    state: str | None
    query: str | None
    labels: Labels
    alerts: Sequence[Alert]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time."""

    start: datetime
    end: datetime


class Prometheus:
    """Asks a Prometheus in threads: a tenant's share of them, a deadline, a breaker a tenant.

    Belongs to one event loop. Every method raises besides its own:

    Raises:
        PrometheusAbsentError: None is set.
        PrometheusUnavailableError: It does not answer, or is left alone for a while.
        QueryBusyError: The tenant's own questions took all the time.
        QueryTimeoutError: It did not come to an end in time.
        BadQueryError: No PromQL.
        QueryRefusedError: Too much, not to be walled, or it has no answer.
    """

    def __init__(self, settings: MonitoringSettings) -> None:
        self._settings = settings
        self._shares = Shares(settings.prometheus_queries_each, settings.prometheus_queries)
        self._breaker = Breaker(_BREAKER_FAILURES, _BREAKER_SECONDS)
        self._threads = ThreadPoolExecutor(settings.prometheus_queries, "prometheus")
        self._local = threading.local()
        self._at_work: set[asyncio.Task[Any]] = set()

    @property
    def connected(self) -> bool:
        """Whether there is one."""
        return self._settings.prometheus_url is not None

    def close(self) -> None:
        """Begin nothing any more; what is at work ends by its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def check(self) -> str:
        """Ask for nothing much; for the readiness check."""
        await self._ask(Asker("", sees_all=True), lambda api: api.custom_query("1"))
        return "answers"

    async def query(self, asker: Asker, text: str, *, at: datetime) -> Answer:
        """What ``text`` comes to at a moment."""

        def work(api: PrometheusConnect) -> Answer:
            params = {"time": at.timestamp(), "timeout": self._timeout}
            return self._answer(api, api.custom_query(self._walled(api, asker, text), params))

        return await self._ask(asker, work)

    async def query_range(
        self, asker: Asker, text: str, window: Window, *, step_seconds: float | None
    ) -> RangeAnswer:
        """What ``text`` comes to at each step of a window.

        Args:
            asker: Whose question it is.
            text: PromQL.
            window: From its first point to its last, in whole seconds.
            step_seconds: None: so that there are about 250 points.
        """
        span = (window.end - window.start).total_seconds()
        if span < 0:
            raise QueryRefusedError("The window ends before it begins")
        step = step_seconds or max(1.0, float(math.ceil(span / _USUAL_POINTS)))
        if span / step + 1 > self._settings.prometheus_points:
            least = math.ceil(span / (self._settings.prometheus_points - 1))
            raise QueryRefusedError(
                f"A line has at most {self._settings.prometheus_points} points: "
                f"take steps of {least} s at least"
            )

        def work(api: PrometheusConnect) -> Answer:
            walled = self._walled(api, asker, text)
            found = api.custom_query_range(
                walled, window.start, window.end, str(step), {"timeout": self._timeout}
            )
            return self._answer(api, found)

        found = await self._ask(asker, work)
        return RangeAnswer(found.lines, found.warnings, step)

    async def list_series(
        self, asker: Asker, matches: Sequence[str], window: Window, *, limit: int
    ) -> list[Labels]:
        """Labels of the series that match and had a sample in the window.

        Refused when there are more than ``limit``.
        """

        def work(api: PrometheusConnect) -> list[Labels]:
            # One more, for servers that know a limit: nobody takes a part for the whole.
            params = {"match[]": self._matches(asker, matches), "limit": limit + 1}
            found = _within(api.get_series(window.start, window.end, params), limit)
            return sorted(found, key=lambda labels: sorted(labels.items()))

        return await self._ask(asker, work)

    async def list_labels(self, asker: Asker, matches: Sequence[str], window: Window) -> list[str]:
        """Names of labels of the series that match, sorted; refused beyond 10 000."""
        params = self._bounds(window)

        def work(api: PrometheusConnect) -> list[str]:
            found = api.get_label_names({"match[]": self._matches(asker, matches), **params})
            return sorted(_within(found, MAX_LISTED))

        return await self._ask(asker, work)

    async def list_values(
        self, asker: Asker, name: str, matches: Sequence[str], window: Window
    ) -> list[str]:
        """Values of a label (``[a-zA-Z_][a-zA-Z0-9_]*``), sorted; refused beyond 10 000."""
        params = self._bounds(window)

        def work(api: PrometheusConnect) -> list[str]:
            found = api.get_label_values(name, {"match[]": self._matches(asker, matches), **params})
            return sorted(_within(found, MAX_LISTED))

        return await self._ask(asker, work)

    async def list_targets(self, asker: Asker) -> list[Target]:
        """What is scraped: all of it, or the targets that carry the tenant's label."""

        def work(api: PrometheusConnect) -> list[Target]:
            found = api.get_targets(state="active")["activeTargets"]
            return [
                Target(
                    job=one["labels"].get("job", one.get("scrapePool", "")),
                    health=one["health"],
                    labels=one["labels"],
                    scraped_at=_time(one["lastScrape"]),
                    seconds=one["lastScrapeDuration"],
                    url=one["scrapeUrl"] if asker.sees_all else None,
                    error=(one["lastError"] or None) if asker.sees_all else None,
                )
                for one in found
                if self._may_see(asker, one["labels"])
            ]

        return await self._ask(asker, work)

    async def list_rules(self, asker: Asker) -> list[Rule]:
        """The rules: all of them, or those that carry the tenant's label or hold for it now."""

        def work(api: PrometheusConnect) -> list[Rule]:
            # The library has no call for them; the session is its own.
            answer = api._session.get(f"{api.url}/api/v1/rules", headers=api.headers)  # noqa: SLF001
            groups = answer.json()["data"]["groups"]
            rules = (
                self._rule(asker, one["name"], rule) for one in groups for rule in one["rules"]
            )
            return [rule for rule in rules if rule is not None]

        return await self._ask(asker, work)

    def _rule(self, asker: Asker, group: str, found: dict[str, Any]) -> Rule | None:
        labels = found.get("labels") or {}
        whole = self._may_see(asker, labels)
        alerts = [
            Alert(
                labels=one["labels"],
                # Written by the platform's template, which may ask for anybody's series.
                annotations=one["annotations"] if whole else {},
                state=one["state"],
                since=one.get("activeAt"),
            )
            for one in found.get("alerts") or ()
            if self._may_see(asker, one["labels"])
        ]
        if not whole and not alerts:
            return None
        states = {one.state for one in alerts}
        state = next((one for one in ("firing", "pending") if one in states), "inactive")
        return Rule(
            group=group,
            name=found["name"],
            kind=found["type"],
            health=found["health"],
            state=state if found["type"] == "alerting" else None,
            query=found["query"] if whole else None,
            labels=labels,
            alerts=alerts,
        )

    def _may_see(self, asker: Asker, labels: Labels) -> bool:
        return asker.sees_all or labels.get(self._settings.prometheus_label) == asker.tenant_id

    @property
    def _timeout(self) -> str:
        """What Prometheus is given, so that it ends before we do and says so itself."""
        return f"{int(900 * self._settings.prometheus_seconds)}ms"

    @staticmethod
    def _bounds(window: Window) -> dict[str, float]:
        return {"start": window.start.timestamp(), "end": window.end.timestamp()}

    def _matches(self, asker: Asker, matches: Sequence[str]) -> list[str]:
        label = self._settings.prometheus_label
        if asker.sees_all:
            return list(matches) or ['{__name__!=""}']
        if not matches:
            return [selector_of(label, asker.tenant_id)]
        return [confine_selector(one, label, asker.tenant_id) for one in matches]

    def _walled(self, api: PrometheusConnect, asker: Asker, text: str) -> str:
        if asker.sees_all:
            if len(text) > MAX_CHARACTERS:
                raise QueryRefusedError(f"A query has at most {MAX_CHARACTERS} characters")
            return text
        try:
            return confine(text, self._settings.prometheus_label, asker.tenant_id)
        except BadQueryError as exc:
            if not exc.extra:
                self._locate(api, text)
            raise

    @staticmethod
    def _locate(api: PrometheusConnect, text: str) -> None:
        """Raise what Prometheus finds wrong, and where: our parser does not say where.

        It is asked to print the query, by which none is read.
        """
        try:
            api._session.get(  # noqa: SLF001
                f"{api.url}/api/v1/format_query", params={"query": text}, headers=api.headers
            )
        except RefusedAnswerError as exc:
            failure = _failure(exc, located=True)
            if isinstance(failure, BadQueryError):
                raise failure from exc
        except (UnreachableError, LongAnswerError):
            # The query is wrong all the same.
            return

    def _answer(self, api: PrometheusConnect, found: Any) -> Answer:
        body: bytes = api._session.last_body  # noqa: SLF001
        warnings: list[str] = []
        # The library drops them; most answers have none, and are not read twice.
        if b'"warnings"' in body:
            warnings = [str(one) for one in json.loads(body).get("warnings", ())]
        if found and not isinstance(found[0], dict):
            # A scalar or a text: one value of no series.
            return Answer([Line({}, [found[0]], [str(found[1])], 0)], warnings)
        return Answer([_line(one) for one in found], warnings)

    def _api(self) -> PrometheusConnect:
        """This thread's own: sessions are not safe to share."""
        api: PrometheusConnect | None = getattr(self._local, "api", None)
        if api is None:
            settings = self._settings
            session = BoundedSession(
                seconds=settings.prometheus_seconds, max_bytes=settings.prometheus_bytes
            )
            if settings.prometheus_ca is not None:
                session.verify = str(settings.prometheus_ca)
            token = settings.prometheus_token
            api = self._local.api = PrometheusConnect(
                str(settings.prometheus_url).rstrip("/"),
                headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token else {},
                session=session,
                # It would try three times, each with the whole deadline.
                retry=0,
            )
        return api

    async def _ask(self, asker: Asker, work: Callable[[PrometheusConnect], T]) -> T:
        if not self.connected:
            raise PrometheusAbsentError("Ask the operator to connect one")
        task = asyncio.create_task(self._held(asker, work))
        self._at_work.add(task)
        task.add_done_callback(self._ended)
        # Who hangs up leaves a thread at work: its place is given back when that has ended, or
        # somebody who hangs up again and again would have all threads.
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._at_work.discard(task)
        if not task.cancelled():
            # Of one that nobody waits for any more the failure is nobody's.
            task.exception()

    async def _held(self, asker: Asker, work: Callable[[PrometheusConnect], T]) -> T:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._settings.prometheus_seconds):
                    await stack.enter_async_context(self._shares.hold(asker.tenant_id))
            except TimeoutError as exc:
                raise QueryBusyError(headers={"Retry-After": "1"}) from exc
            return await self._told(asker, work)

    async def _told(self, asker: Asker, work: Callable[[PrometheusConnect], T]) -> T:
        try:
            with self._breaker.guard(asker.tenant_id, "Prometheus"):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, partial(self._run, work))
        except SlowAnswerError as exc:
            seconds = self._settings.prometheus_seconds
            raise QueryTimeoutError(f"There was no answer within {seconds:g} s") from exc
        except UnreachableError as exc:
            after = exc.extra.get("retry_after_seconds", _RETRY_SECONDS)
            raise PrometheusUnavailableError(
                "It cannot be reached, or failed again and again and is left alone for a while",
                headers={"Retry-After": str(after)},
            ) from exc
        except LongAnswerError as exc:
            raise QueryRefusedError(
                f"The answer has more than {self._settings.prometheus_bytes} bytes: ask for fewer "
                "series, longer steps or a shorter time"
            ) from exc
        except RefusedAnswerError as exc:
            raise _failure(exc, located=asker.sees_all) from exc

    def _run(self, work: Callable[[PrometheusConnect], T]) -> T:
        try:
            return work(self._api())
        except (KeyError, IndexError, TypeError, ValueError) as exc:
            # What answers at the address is no Prometheus.
            raise UnreachableError("an answer that is none of Prometheus'") from exc


def _within(found: list[T], limit: int) -> list[T]:
    if len(found) > limit:
        raise QueryRefusedError(f"There are more than {limit}: narrow it by `match`, or the window")
    return found


def _line(found: dict[str, Any]) -> Line:
    points = found.get("values") or ([found["value"]] if "value" in found else [])
    times, values = [float(one[0]) for one in points], [str(one[1]) for one in points]
    histograms = len(found.get("histograms", ())) + ("histogram" in found)
    return Line(found["metric"], times, values, histograms)


def _time(text: str) -> str | None:
    """Go's zero time stands for never."""
    return None if text.startswith("0001-") else text


def _failure(
    refused: RefusedAnswerError, *, located: bool
) -> BadQueryError | QueryRefusedError | QueryTimeoutError | PrometheusUnavailableError:
    """What Prometheus means by an answer that is not 200.

    Args:
        refused: The answer.
        located: Whether what it was asked is what the caller wrote, so that its places hold.
    """
    try:
        told = json.loads(refused.body)
        kind, text = str(told["errorType"]), str(told["error"])
    except (ValueError, KeyError, TypeError):
        kind, text = "", ""
    # Of a server behind it there may be an address in the text, which is no tenant's business.
    text = "" if "://" in text else text[:500]
    if kind == "bad_data":
        place = _PLACE.search(text)
        if located and place:
            line, column = int(place[1]), int(place[2])
            said = f"{line}:{column}: {place[3]}"
            return BadQueryError(said, line=line, column=column)
        return BadQueryError(_PREFIX.sub("", text))
    if kind == "execution":
        return QueryRefusedError(text)
    if kind in {"timeout", "canceled"}:
        return QueryTimeoutError("Prometheus did not finish it")
    return PrometheusUnavailableError(
        f"It answered {refused.status}", headers={"Retry-After": str(_RETRY_SECONDS)}
    )
