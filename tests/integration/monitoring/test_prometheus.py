"""Questions to a real Prometheus with two tenants' series, and to one that fails."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from backend.managers.monitoring import (
    Answer,
    Asker,
    BadQueryError,
    MonitoringManager,
    MonitoringSettings,
    Prometheus,
    PrometheusAbsentError,
    PrometheusUnavailableError,
    QueryBusyError,
    QueryRefusedError,
    QueryTimeoutError,
    Window,
)
from backend.managers.monitoring.schemas import SampleRangeOut, SamplesOut
from backend.settings import Settings
from tests.support.platform import App
from tests.support.prometheus import PrometheusServer, needs_prometheus, stand_in
from tests.support.promql import HOSTILE

LABEL = "tenant_id"
OTHER = "0197a000-0000-7000-8000-00000000000b"
MINE = "0197a000-0000-7000-8000-00000000000a"
MARK = "sesame"
"""In every label of the other's series, and their values are 7 000 and more."""
RULES = f"""
groups:
- name: wall
  interval: 1s
  rules:
  - alert: Waiting
    expr: orders_total > 0
    labels: {{severity: warning}}
    annotations:
      summary: "{{{{ with query `secrets_total` }}}}{{{{ first . | label `secret` }}}}{{{{ end }}}}"
  - record: of_mine
    expr: sum(orders_total{{{LABEL}="{MINE}"}})
    labels: {{{LABEL}: "{MINE}"}}
  - record: of_the_other
    expr: sum(orders_total{{{LABEL}="{OTHER}"}})
    labels: {{{LABEL}: "{OTHER}", secret: "{MARK}"}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    needs_prometheus()
    mine = 'orders_total{shop="1"} 3\norders_total{shop="2"} 4\nstock{shop="1"} 5\n'
    other = (
        f'orders_total{{shop="1",secret="{MARK}"}} 7001\n'
        f'orders_total{{shop="{MARK}"}} 7002\n'
        f'secrets_total{{secret="{MARK}"}} 7003\n'
        # What a target says of itself is no wall's business: it comes as `exported_tenant_id`.
        f'orders_total{{shop="9",secret="{MARK}",{LABEL}="{MINE}"}} 7004\n'
    )
    exposed: Mapping[str, tuple[Mapping[str, str], str]] = {
        "mine": ({LABEL: MINE}, mine),
        "other": ({LABEL: OTHER, "secret": MARK}, other),
        "platform": ({"secret": MARK}, f'orders_total{{shop="{MARK}"}} 7005\n'),
    }
    folder = tmp_path_factory.mktemp("prometheus")
    with PrometheusServer(folder, exposed, RULES) as made:
        yield made


def asking(url: str | None, **more: Any) -> Prometheus:
    return Prometheus(MonitoringSettings(prometheus_url=url, **more))


@pytest.fixture
def window() -> Window:
    now = time.time()
    return window_of(now - 60, now)


def window_of(start: float, end: float) -> Window:
    return Window(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))


def shows_foreign(told: Any) -> bool:
    """Whether anything of it is labelled as the other's, or as the platform's own."""
    return MARK in repr(told) or OTHER in repr(told)


def reads_foreign(answer: Answer) -> bool:
    """Whether a line is labelled so, or its value is one of theirs, or a sum of these."""
    return any(
        shows_foreign(line.labels) or any(7000 < float(value) < 99_000 for value in line.values)
        for line in answer.lines
    )


class TestTheWall:
    async def test_hostile_queries_read_nothing_foreign(
        self, server: PrometheusServer, window: Window
    ) -> None:
        prometheus, answered, shown = asking(server.url), 0, 0
        for text in HOSTILE:
            asked = text.replace("other", OTHER).replace("mine", MINE)
            try:
                now = await prometheus.query(Asker(MINE), asked, at=window.end)
                then = await prometheus.query_range(Asker(MINE), asked, window, step_seconds=5)
            except (BadQueryError, QueryRefusedError):
                continue
            answered += 1
            shown += bool(now.lines)
            assert not reads_foreign(now), asked
            assert not reads_foreign(then), asked
        assert answered >= 50
        # It reads what is the tenant's own, or the wall would be a door that is shut.
        assert shown >= 30

    async def test_the_same_queries_do_read_it_without_the_wall(
        self, server: PrometheusServer, window: Window
    ) -> None:
        prometheus, leaked = asking(server.url), 0
        for text in HOSTILE:
            asked = text.replace("other", OTHER).replace("mine", MINE)
            try:
                found = await prometheus.query(Asker("p", sees_all=True), asked, at=window.end)
            except (BadQueryError, QueryRefusedError):
                continue
            leaked += reads_foreign(found)
        assert leaked >= 30

    async def test_series_labels_and_values_are_the_tenants_own(
        self, server: PrometheusServer, window: Window
    ) -> None:
        prometheus, answered = asking(server.url), 0
        for matches in ([], *([text] for text in HOSTILE)):
            asked = [one.replace("other", OTHER).replace("mine", MINE) for one in matches]
            try:
                series = await prometheus.list_series(Asker(MINE), asked, window, limit=1000)
                labels = await prometheus.list_labels(Asker(MINE), asked, window)
                values = [
                    await prometheus.list_values(Asker(MINE), name, asked, window)
                    for name in ("__name__", "shop", "secret", LABEL)
                ]
            except (BadQueryError, QueryRefusedError):
                continue
            answered += 1
            assert all(one[LABEL] == MINE for one in series), asked
            assert not shows_foreign([series, labels, values]), asked
            assert "secret" not in labels
            if not asked:
                assert {one["__name__"] for one in series} >= {"orders_total", "stock", "up"}
                assert values[1:] == [["1", "2"], [], [MINE]]
        assert answered >= 20

    async def test_a_part_is_not_given_for_the_whole(
        self, server: PrometheusServer, window: Window
    ) -> None:
        prometheus = asking(server.url)
        found = await prometheus.list_series(Asker(MINE), ["orders_total"], window, limit=2)
        assert [one["shop"] for one in found] == ["1", "2"]
        with pytest.raises(QueryRefusedError, match="more than 1"):
            await prometheus.list_series(Asker(MINE), ["orders_total"], window, limit=1)

    async def test_targets_and_rules_are_the_tenants_own(self, server: PrometheusServer) -> None:
        prometheus = asking(server.url)
        (target,) = await prometheus.list_targets(Asker(MINE))
        assert (target.job, target.health, target.url, target.error) == ("mine", "up", None, None)
        rules = {one.name: one for one in await prometheus.list_rules(Asker(MINE))}
        assert rules.keys() == {"Waiting", "of_mine"}
        assert not shows_foreign(list(rules.values()))
        waiting = rules["Waiting"]
        assert (waiting.kind, waiting.state, waiting.query) == ("alerting", "firing", None)
        assert {one.labels["shop"] for one in waiting.alerts} == {"1", "2"}
        assert all(one.annotations == {} for one in waiting.alerts)
        assert rules["of_mine"].query

    async def test_the_platform_sees_all_of_it(
        self, server: PrometheusServer, window: Window
    ) -> None:
        prometheus, asker = asking(server.url), Asker("p", sees_all=True)
        found = await prometheus.query(asker, "count by (tenant_id) (orders_total)", at=window.end)
        assert {one.labels.get(LABEL, "") for one in found.lines} == {MINE, OTHER, ""}
        assert {one.job for one in await prometheus.list_targets(asker)} == {
            "mine",
            "other",
            "platform",
        }
        assert all(one.url for one in await prometheus.list_targets(asker))
        rules = {one.name: one for one in await prometheus.list_rules(asker)}
        assert rules.keys() == {"Waiting", "of_mine", "of_the_other"}
        assert any(one.annotations for one in rules["Waiting"].alerts)
        assert await prometheus.list_values(asker, "secret", [], window) == [MARK]


class TestQueries:
    async def test_reads_at_a_moment(self, server: PrometheusServer, window: Window) -> None:
        prometheus = asking(server.url)
        found = await prometheus.query(Asker(MINE), "sum(orders_total)", at=window.end)
        (line,) = found.lines
        assert (line.values, line.labels, found.warnings) == (["7"], {}, [])
        for text, value in (("1 + 1", "2"), ('"text"', "text"), ("vector(-Inf)", "-Inf")):
            (line,) = (await prometheus.query(Asker(MINE), text, at=window.end)).lines
            assert (line.values, line.labels) == ([value], {}), text
        assert not (await prometheus.query(Asker(MINE), "nothing", at=window.end)).lines

    async def test_reads_a_range_in_steps(self, server: PrometheusServer) -> None:
        now = float(int(time.time()))
        found = await asking(server.url).query_range(
            Asker(MINE), "vector(time())", window_of(now - 60, now), step_seconds=15
        )
        (line,) = found.lines
        assert found.step_seconds == 15
        assert line.times == [now - 60, now - 45, now - 30, now - 15, now]
        assert line.values == [str(int(one)) for one in line.times]

    async def test_chooses_steps_and_refuses_too_many(self, server: PrometheusServer) -> None:
        prometheus = asking(server.url, prometheus_points=300)
        found = await prometheus.query_range(
            Asker(MINE), "vector(1)", window_of(0, 86_400), step_seconds=None
        )
        assert (found.step_seconds, len(found.lines[0].times)) == (346, 250)
        with pytest.raises(QueryRefusedError, match="steps of 289 s"):
            await prometheus.query_range(
                Asker(MINE), "vector(1)", window_of(0, 86_400), step_seconds=288
            )
        with pytest.raises(QueryRefusedError, match="ends before"):
            await prometheus.query_range(Asker(MINE), "1", window_of(60, 0), step_seconds=None)

    @pytest.mark.parametrize(
        ("text", "line", "column"), [("sum(up", 1, 4), ("up down", 1, 4), ("1 +\n up{a==1}", 2, 7)]
    )
    async def test_says_where_a_query_is_wrong(
        self, server: PrometheusServer, window: Window, text: str, line: int, column: int
    ) -> None:
        for asker in (Asker(MINE), Asker("p", sees_all=True)):
            with pytest.raises(BadQueryError) as caught:
                await asking(server.url).query(asker, text, at=window.end)
            assert caught.value.extra["line"] == line
            if asker.sees_all is False or text != "sum(up":
                assert caught.value.extra["column"] == column

    async def test_says_why_there_is_no_answer(
        self, server: PrometheusServer, window: Window
    ) -> None:
        with pytest.raises(QueryRefusedError, match="many-to-many"):
            text = "orders_total * on (tenant_id) orders_total"
            await asking(server.url).query(Asker(MINE), text, at=window.end)

    async def test_a_query_that_takes_too_long_is_ended_by_prometheus(
        self, server: PrometheusServer, window: Window
    ) -> None:
        # A subquery of ten million steps.
        text = "sum_over_time(vector(1)[2500d:21ms])"
        prometheus = asking(server.url, prometheus_seconds=1)
        with pytest.raises((QueryTimeoutError, QueryRefusedError)):
            await prometheus.query(Asker(MINE), text, at=window.end)

    async def test_a_long_answer_is_refused(self, server: PrometheusServer, window: Window) -> None:
        prometheus = asking(server.url, prometheus_bytes=2**16)
        with pytest.raises(QueryRefusedError, match="bytes"):
            await prometheus.query(Asker(MINE), "(vector(1.23456789))[20000s:1s]", at=window.end)


class TestFailures:
    async def test_none_is_set(self, window: Window) -> None:
        with pytest.raises(PrometheusAbsentError):
            await asking(None).query(Asker(MINE), "up", at=window.end)

    async def test_nobody_is_there_and_it_is_left_alone(self, window: Window) -> None:
        prometheus = asking("http://127.0.0.1:9")
        for _ in range(5):
            with pytest.raises(PrometheusUnavailableError):
                await prometheus.query(Asker(MINE), "up", at=window.end)
        # The sixth is refused at once, and says for how long.
        with pytest.raises(PrometheusUnavailableError) as caught:
            await prometheus.query(Asker(MINE), "up", at=window.end)
        assert int(caught.value.headers["Retry-After"]) >= 1
        # Another tenant finds out by itself.
        with pytest.raises(PrometheusUnavailableError) as caught:
            await prometheus.query(Asker(OTHER), "up", at=window.end)
        assert caught.value.headers["Retry-After"] == "5"

    @pytest.mark.parametrize(
        ("status", "told", "error"),
        [
            (503, {"errorType": "timeout", "error": "query timed out"}, QueryTimeoutError),
            (422, {"errorType": "execution", "error": "too many samples"}, QueryRefusedError),
            (400, {"errorType": "bad_data", "error": "1:2: parse error: x"}, BadQueryError),
            (401, b"Unauthorized", PrometheusUnavailableError),
            (302, b"", PrometheusUnavailableError),
            (500, {"errorType": "internal", "error": "x"}, PrometheusUnavailableError),
            (200, b"<html>", PrometheusUnavailableError),
            (200, {"status": "success"}, PrometheusUnavailableError),
        ],
    )
    async def test_what_it_answers_is_told_apart(
        self, window: Window, status: int, told: Any, error: type[Exception]
    ) -> None:
        with stand_in(lambda *_: (status, told)) as url, pytest.raises(error):
            await asking(url).query(Asker(MINE), "up", at=window.end)

    async def test_an_address_in_an_error_is_not_told(self, window: Window) -> None:
        told = {"errorType": "execution", "error": "remote server http://10.0.0.1/read: away"}
        with stand_in(lambda *_: (422, told)) as url, pytest.raises(QueryRefusedError) as caught:
            await asking(url).query(Asker(MINE), "up", at=window.end)
        assert "10.0.0.1" not in caught.value.detail

    async def test_warnings_are_passed_on(self, window: Window) -> None:
        told = {"data": {"resultType": "vector", "result": []}, "warnings": ["a part is missing"]}
        with stand_in(lambda *_: (200, told)) as url:
            found = await asking(url).query(Asker(MINE), "up", at=window.end)
        assert found.warnings == ["a part is missing"]

    async def test_a_tenant_has_its_share_and_no_more(self, window: Window) -> None:
        go, arrived, came = threading.Event(), threading.Semaphore(0), []

        def hang(_: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
            came.append(MINE in query["query"][0])
            arrived.release()
            go.wait(120)
            return 200, {"data": {"resultType": "vector", "result": []}}

        with stand_in(hang) as url:
            prometheus = asking(url, prometheus_seconds=60, prometheus_queries=4)
            greedy = [
                asyncio.create_task(prometheus.query(Asker(MINE), "up", at=window.end))
                for _ in range(6)
            ]
            for _ in range(2):
                assert await asyncio.to_thread(arrived.acquire, timeout=60)
            # Who hangs up leaves a question at work: its place is not free by that.
            for one in greedy[:2]:
                one.cancel()
            gone = await asyncio.gather(*greedy[:2], return_exceptions=True)
            assert {type(one) for one in gone} == {asyncio.CancelledError}
            other = asyncio.create_task(prometheus.query(Asker(OTHER), "up", at=window.end))
            assert await asyncio.to_thread(arrived.acquire, timeout=60)
            assert came == [True, True, False]
            go.set()
            await asyncio.gather(other, *greedy[2:])
            assert came.count(True) == 6

    async def test_who_waits_too_long_for_the_own_questions_is_told(self, window: Window) -> None:
        with stand_in() as url:
            prometheus = asking(url, prometheus_seconds=1, prometheus_queries_each=1)
            async with prometheus._shares.hold(MINE):
                with pytest.raises(QueryBusyError) as caught:
                    await prometheus.query(Asker(MINE), "up", at=window.end)
        assert caught.value.headers["Retry-After"] == "1"

    async def test_an_answer_that_drips_ends_at_the_deadline(self, window: Window) -> None:
        ended = asyncio.Event()

        async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not writer.is_closing():
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.1)
            writer.close()
            ended.set()

        dripping = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = dripping.sockets[0].getsockname()[1]
        prometheus = asking(f"http://127.0.0.1:{port}", prometheus_seconds=1)
        async with asyncio.timeout(60):
            with pytest.raises(QueryTimeoutError):
                await prometheus.query(Asker(MINE), "up", at=window.end)
            await ended.wait()
        dripping.close()


class TestRoutes:
    @pytest.fixture
    def heard(self) -> list[tuple[str, dict[str, list[str]]]]:
        return []

    @pytest.fixture
    def app_settings(self, app_settings: Settings, heard: Any) -> Iterator[Settings]:
        def reply(path: str, query: Any) -> tuple[int, Any]:
            # The readiness check asks as well, when it likes.
            if query.get("query") != ["1"]:
                heard.append((path, dict(query)))
            line = {"metric": {"shop": "1"}, "values": [[1.5, "NaN"]]}
            data: Any = {"resultType": "matrix", "result": [line]}
            if path.endswith(("/series", "/labels", "/values")):
                data = []
            return 200, {"status": "success", "data": data}

        with stand_in(reply) as url:
            yield app_settings.model_copy(
                update={"monitoring": MonitoringSettings(prometheus_url=url)}
            )

    async def test_a_tenants_questions_arrive_walled(
        self, app: App, heard: list[tuple[str, dict[str, list[str]]]]
    ) -> None:
        ada = await app.caller("viewer")
        mine = f'tenant_id="{ada.tenant.id}"'
        told = {"query": 'up{tenant_id=~".*"}', "since": "2026-01-01T00:00:00Z"}
        root = "/api/v1/prometheus"
        for path, asked in (
            ("query", {"query": told["query"], "at": told["since"]}),
            ("query-range", told | {"until": "2026-01-01T01:00:00Z"}),
            ("series", {"match": told["query"]}),
            ("labels", {}),
            ("label-values", {"name": "job"}),
        ):
            heard.clear()
            answer = await ada.http.get(f"{root}/{path}", params=asked)
            assert answer.status_code == 200, answer.text
            if path == "query":
                SamplesOut.model_validate_json(answer.content)
            if path == "query-range":
                assert SampleRangeOut.model_validate_json(answer.content).step_seconds == 15
            ((_, query),) = heard
            (sent,) = query.get("query") or query["match[]"]
            assert sent in {f'{{__name__="up",{mine}}}', f"{{{mine}}}"}, path
        heard.clear()
        # No parameter goes past the wall.
        sneaked = await ada.http.get(f"{root}/labels", params={"match[]": "up"})
        assert (sneaked.status_code, heard) == (422, [])

    async def test_refusals_are_problems(self, app: App) -> None:
        ada = await app.caller("viewer")
        for text, status, code in (
            ("sum(up", 400, "monitoring.bad_query"),
            ("info(up)", 422, "monitoring.query_refused"),
        ):
            answer = await ada.http.get("/api/v1/prometheus/query", params={"query": text})
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        broken = await ada.http.get("/api/v1/prometheus/query", params={"query": "sum(up"})
        assert (broken.json()["line"], broken.json()["column"]) == (1, 4)

    async def test_the_platforms_door_is_not_a_tenants(self, app: App) -> None:
        ada = await app.caller("owner")
        answer = await ada.http.get("/api/v1/platform/prometheus/query", params={"query": "up"})
        assert answer.status_code == 403

    async def test_readiness_tells_of_it(self, app: App) -> None:
        async with app.client() as http:
            checks = (await http.get("/readyz")).json()["checks"]
        (found,) = [one for one in checks if one["name"] == "prometheus"]
        assert (found["required"], found["ok"]) == (False, True)


async def test_without_one_the_routes_say_so(app: App) -> None:
    ada = await app.caller("viewer")
    answer = await ada.http.get("/api/v1/prometheus/query", params={"query": "up"})
    assert (answer.status_code, answer.json()["code"]) == (503, "monitoring.prometheus_absent")
    assert app.platform.of(MonitoringManager).prometheus.connected is False
