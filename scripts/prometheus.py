"""A Prometheus beside an installation: it scrapes each process and evaluates the rules that ship.

Debian's or any other that is on the path. What a start shows of it is what people rely on later:
that every process is scraped, that the rules come to something, and that a tenant who asks through
the API gets the own series and no others.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from backend.supervisor import Program

ROOT: Final = Path(__file__).resolve().parent.parent
RULES: Final = ROOT / "deploy" / "prometheus" / "email-sender.rules.yml"
JOB: Final = "email-sender"
"""What the rules take for the platform's own processes."""
CONSOLE_JOB: Final = "email-sender-console"
TENANT_JOB: Final = "email-sender-tenant"
_SCRAPE: Final = "5s"
_WAIT_SECONDS: Final = 120.0
_RECORDED: Final = "email_sender:requests:rate5m"

T = TypeVar("T")
Ask = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Takes PromQL to the API, as a tenant; the answer as the API gives it."""


class PrometheusError(Exception):
    """It is not there, or does not do what it is there for; one clear line."""


def find() -> str:
    """The server's program, installed where that can be done.

    Raises:
        PrometheusError: There is none; the lines above say how to get it.
    """
    found = shutil.which("prometheus")
    if found is None:
        common = str(ROOT / "scripts" / "lib" / "common.sh")
        subprocess.run(
            ["bash", "-c", '. "$0" && ensure_prometheus', common],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        found = shutil.which("prometheus")
    if found is None:
        raise PrometheusError("there is no prometheus: install it (apt-get install prometheus)")
    return found


def configuration(
    processes: Mapping[str, int], console: int, client: Mapping[str, str]
) -> dict[str, Any]:
    """What it scrapes: the processes of the platform, and the series of one tenant.

    Args:
        processes: Their ports on this machine, ``api`` among them.
        console: The console's port. Its series are Streamlit's, so the rules are not about them.
        client: Of the tenant whose series are scraped: ``tenant_id``, and ``client_id`` and
            ``client_secret`` of one that may ``metric:read``.
    """
    api = f"127.0.0.1:{processes['api']}"
    return {
        "global": {"scrape_interval": _SCRAPE, "evaluation_interval": _SCRAPE},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {
                "job_name": JOB,
                "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"process": name}}
                    for name, port in processes.items()
                ],
            },
            {
                "job_name": CONSOLE_JOB,
                "metrics_path": "/_stcore/metrics",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{console}"], "labels": {"process": "console"}}
                ],
            },
            {
                "job_name": TENANT_JOB,
                "metrics_path": "/api/v1/metrics/exposition",
                "scrape_interval": "15s",
                "oauth2": {
                    "client_id": client["client_id"],
                    "client_secret": client["client_secret"],
                    "token_url": f"http://{api}/oauth/token",
                },
                # Whose series they are is said here: what a target says of it is renamed.
                "honor_labels": False,
                "static_configs": [
                    {"targets": [api], "labels": {"tenant_id": client["tenant_id"]}}
                ],
            },
        ],
    }


def program(server: str, folder: Path, port: int, scraped: Mapping[str, Any]) -> Program:
    """The server as a supervised process that listens on this machine alone.

    Args:
        server: The program.
        folder: Of its own, for its configuration and its blocks; readable by nobody else.
        port: Where it listens.
        scraped: Its configuration.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "prometheus.yml"
    # JSON is YAML.
    file.write_text(json.dumps(scraped, indent=2), encoding="utf-8")
    return Program(
        "prometheus",
        [
            server,
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        # No environment: of a proxy in it, it would ask for what listens on this machine.
        {},
    )


class Verification:
    """What a start shows of a Prometheus, waited for.

    Args:
        url: Its root.
        http: Reaches it.
        ask: Reaches it through the API, as the tenant whose series are scraped.
        tenant_id: Of that tenant.
    """

    def __init__(self, url: str, http: httpx.AsyncClient, ask: Ask, tenant_id: str) -> None:
        self._url = url
        self._http = http
        self._ask = ask
        self._tenant = tenant_id
        # What the start before left behind shows nothing of this one.
        self._began = time.time()
        self._deadline = time.monotonic() + _WAIT_SECONDS

    async def run(self, say: Callable[[str], None]) -> dict[str, int]:
        """Wait until each target is scraped, the rules are evaluated and a tenant is answered.

        Args:
            say: Takes a line for each of the three.

        Returns:
            How many targets are up, rules are evaluated and series the tenant sees.

        Raises:
            PrometheusError: One of them does not come about in two minutes; says which, and why.
        """
        targets = await self._until("scrape", self._scraped)
        say(f"    scrape    {len(targets)} targets are up: {', '.join(targets)}")
        rules, values = await self._until("rule", self._evaluated)
        say(f"    rule      {rules} are evaluated; {_RECORDED} has {values} values")
        series = await self._until("query", self._answered)
        say(f"    query     `up` through the API has {series} series: the tenant's own, and up")
        return {"targets": len(targets), "rules": rules, "series": series}

    async def _until(self, what: str, look: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await look()
            except (PrometheusError, httpx.HTTPError) as exc:
                if time.monotonic() > self._deadline:
                    why = str(exc) or type(exc).__name__
                    raise PrometheusError(f"no {what} within {_WAIT_SECONDS:g} s: {why}") from exc
            await asyncio.sleep(0.5)

    async def _told(self, path: str, **query: str) -> Any:
        answer = await self._http.get(f"{self._url}/api/v1/{path}", params=query)
        return answer.raise_for_status().json()["data"]

    async def _scraped(self) -> list[str]:
        found = (await self._told("targets", state="active"))["activeTargets"]
        for one in found:
            if one["health"] != "up":
                said = one["lastError"] or "not yet"
                raise PrometheusError(f"{one['scrapeUrl']} is not scraped: {said}")
        if not found:
            raise PrometheusError("it has no targets")
        return sorted(one["labels"].get("process", one["labels"]["job"]) for one in found)

    async def _evaluated(self) -> tuple[int, int]:
        groups = (await self._told("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        for rule in rules:
            if rule["health"] != "ok":
                said = rule.get("lastError") or "not yet"
                raise PrometheusError(f"{rule['name']} is not evaluated: {said}")
        values = await self._told("query", query=f"timestamp({_RECORDED}) > {self._began:.3f}")
        if not values["result"]:
            raise PrometheusError(f"{_RECORDED} has no value")
        return len(rules), len(values["result"])

    async def _answered(self) -> int:
        found = (await self._ask("up"))["lines"]
        others = [one["labels"] for one in found if one["labels"].get("tenant_id") != self._tenant]
        if others:
            raise PrometheusError(f"the tenant was shown {others[0]}, which is not its own")
        values = [value for one in found for value in one["values"]]
        if values != ["1"]:
            raise PrometheusError(f"`up` of the tenant is {', '.join(values) or 'not there'}")
        return len(found)
