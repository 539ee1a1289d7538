"""`scripts/run --with-prometheus`: what is scraped, and what counts as working."""

import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from scripts import launcher, prometheus
from scripts.launcher import Ports, environment
from scripts.prometheus import PrometheusError, Verification
from tests.support.prometheus import MISSING, stand_in

CLIENT = {"tenant_id": "0197a3c2", "client_id": "es_1", "client_secret": "a-secret"}
RECORDED = "email_sender:requests:rate5m"


def target(process: str, health: str = "up", error: str = "") -> dict[str, Any]:
    return {
        "labels": {"job": "email-sender", "process": process},
        "health": health,
        "lastError": error,
        "scrapeUrl": f"http://127.0.0.1/{process}",
    }


def rule(name: str, health: str = "ok", error: str = "") -> dict[str, Any]:
    return {"name": name, "health": health, "lastError": error}


@pytest.fixture
def told() -> dict[str, Any]:
    """What a Prometheus tells when all is well."""
    return {
        "/api/v1/targets": {"activeTargets": [target("api"), target("worker")]},
        "/api/v1/rules": {"groups": [{"rules": [rule(RECORDED), rule("EmailSenderAbsent")]}]},
        "/api/v1/query": {"resultType": "vector", "result": [{}, {}]},
    }


def own(value: str = "1", tenant_id: str = CLIENT["tenant_id"]) -> dict[str, Any]:
    """What the API tells a tenant of `up`."""
    labels = {"job": prometheus.TENANT_JOB, "tenant_id": tenant_id}
    return {"lines": [{"labels": labels, "values": [value]}]}


async def look(told: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """What the verification comes to, and its lines."""
    said: list[str] = []
    asked: list[str] = []

    async def ask(text: str) -> Mapping[str, Any]:
        asked.append(text)
        return answer

    def reply(path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
        if path == "/api/v1/query":
            # Of this start: a rule's value of the start before is in the same folder.
            since = float(query["query"][0].removeprefix(f"timestamp({RECORDED}) > "))
            assert since > time.time() - 600
        return 200, {"status": "success", "data": told[path]}

    with stand_in(reply) as url:
        async with httpx.AsyncClient(trust_env=False) as http:
            found = await Verification(url, http, ask, CLIENT["tenant_id"]).run(said.append)
    assert asked == ["up"]
    return found, said


class TestVerification:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prometheus, "_WAIT_SECONDS", -1.0)

    async def test_says_each_in_a_line(self, told: dict[str, Any]) -> None:
        found, said = await look(told, own())
        assert found == {"targets": 2, "rules": 2, "series": 1}
        assert [line.split()[0] for line in said] == ["scrape", "rule", "query"]
        assert "api, worker" in said[0]

    @pytest.mark.parametrize(
        ("path", "data", "why"),
        [
            ("targets", {"activeTargets": []}, "no scrape .*: it has no targets"),
            (
                "targets",
                {"activeTargets": [target("api"), target("worker", "down", "refused")]},
                "no scrape .*: http://127.0.0.1/worker is not scraped: refused",
            ),
            (
                "targets",
                {"activeTargets": [target("api", "unknown")]},
                "http://127.0.0.1/api is not scraped: not yet",
            ),
            (
                "rules",
                {"groups": [{"rules": [rule(RECORDED), rule("A", "err", "many-to-many")]}]},
                "no rule .*: A is not evaluated: many-to-many",
            ),
            ("query", {"result": []}, f"no rule .*: {RECORDED} has no value"),
        ],
    )
    async def test_fails_by_what_does_not_work(
        self, told: dict[str, Any], path: str, data: Any, why: str
    ) -> None:
        told[f"/api/v1/{path}"] = data
        with pytest.raises(PrometheusError, match=why):
            await look(told, own())

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (own(tenant_id="another"), "the tenant was shown .*another.*, which is not its own"),
            (own(value="0"), "`up` of the tenant is 0"),
            ({"lines": []}, "`up` of the tenant is not there"),
            ({"lines": [*own()["lines"], {"labels": {}, "values": ["1"]}]}, "was shown {}"),
        ],
    )
    async def test_fails_when_a_tenant_sees_more_or_less_than_its_own(
        self, told: dict[str, Any], answer: Any, why: str
    ) -> None:
        with pytest.raises(PrometheusError, match=why):
            await look(told, answer)

    async def test_fails_where_nobody_listens(self) -> None:
        async def ask(_: str) -> Mapping[str, Any]:
            pytest.fail("nothing was scraped")

        with stand_in() as url:
            pass
        async with httpx.AsyncClient(trust_env=False) as http:
            with pytest.raises(PrometheusError, match="no scrape"):
                await Verification(url, http, ask, "").run(lambda _: None)


class TestProgram:
    def test_its_configuration_is_one(self, tmp_path) -> None:
        if shutil.which("promtool") is None:
            pytest.skip(MISSING)
        made = prometheus.configuration({"api": 8400, "worker": 8405}, 8401, CLIENT)
        program = prometheus.program("prometheus", tmp_path / "of-its-own", 8406, made)
        file = tmp_path / "of-its-own" / "prometheus.yml"
        checked = subprocess.run(
            ["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
        assert f"{prometheus.RULES}" in checked.stdout
        assert f"--config.file={file}" in program.command
        assert "--web.listen-address=127.0.0.1:8406" in program.command
        # A proxy of ours would be asked for what listens on this machine.
        assert program.environment == {}

    def test_scrapes_each_process_and_gives_a_tenant_its_label(self) -> None:
        made = prometheus.configuration({"api": 8400, "worker": 8405}, 8401, CLIENT)
        own_job, console, tenants = made["scrape_configs"]
        targets = {one["labels"]["process"]: one["targets"] for one in own_job["static_configs"]}
        assert own_job["job_name"] == "email-sender"
        assert targets == {"api": ["127.0.0.1:8400"], "worker": ["127.0.0.1:8405"]}
        assert console["static_configs"][0]["targets"] == ["127.0.0.1:8401"]
        assert tenants["honor_labels"] is False
        assert tenants["static_configs"][0]["labels"] == {"tenant_id": CLIENT["tenant_id"]}
        assert CLIENT["client_secret"] not in json.dumps(own_job)

    def test_one_that_is_not_there_is_one_line(self, monkeypatch, tmp_path, capsys) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
        with pytest.raises(PrometheusError, match="there is no prometheus: install it"):
            prometheus.find()


class TestEnvironment:
    def test_the_processes_are_told_where_it_is(self, tmp_path, monkeypatch) -> None:
        name = "EMAIL_SENDER__MONITORING__PROMETHEUS_URL"
        monkeypatch.delenv(name, raising=False)
        given = ["--data-dir", str(tmp_path)]
        asked = launcher._options([*given, "--with-prometheus"])
        assert environment(asked, Ports(8400))[name] == "http://127.0.0.1:8406"
        assert name not in environment(launcher._options(given), Ports(8400))
