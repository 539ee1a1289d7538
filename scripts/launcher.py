"""Start the platform on one machine, run its main job through the public API, stay up.

What this does is what a workflow does: take a token by client credentials, send an e-mail, watch
it being accepted by the mail server, and find the act in the audit trail.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import httpx

from backend.supervisor import (
    FolderInUseError,
    PortTakenError,
    Program,
    Supervisor,
    hold_folder,
    refuse_taken_ports,
)
from scripts import prometheus
from scripts.n8n.api import DEMO_PATH, N8nError
from scripts.n8n.server import N8nServer, pack_nodes
from scripts.prometheus import PrometheusError

ROOT: Final = Path(__file__).resolve().parent.parent
_PREFIX: Final = "EMAIL_SENDER__"
_READY_SECONDS: Final = 180.0
_ACCEPT_SECONDS: Final = 30.0


class LaunchError(Exception):
    """A failure to be told in one clear line."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one installation, in a row from the base."""

    base: int

    @property
    def api(self) -> int:
        """The HTTP API, and the OpenID issuer."""
        return self.base

    @property
    def console(self) -> int:
        """The Streamlit console."""
        return self.base + 1

    @property
    def sink(self) -> int:
        """The local SMTP sink."""
        return self.base + 2

    @property
    def n8n(self) -> int:
        """n8n's editor, API and webhooks."""
        return self.base + 3

    @property
    def n8n_broker(self) -> int:
        """n8n's task broker."""
        return self.base + 4

    @property
    def worker(self) -> int:
        """The worker's own /metrics."""
        return self.base + 5

    @property
    def prometheus(self) -> int:
        """The Prometheus that scrapes them."""
        return self.base + 6


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/run", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="verify the main job end to end, stop, exit 0"
    )
    parser.add_argument(
        "--with-n8n", action="store_true", help="also install and start n8n with our node"
    )
    parser.add_argument(
        "--with-prometheus",
        action="store_true",
        help="also start a Prometheus that scrapes each process, with the rules that ship",
    )
    parser.add_argument(
        "--port-base", type=int, default=8400, metavar="N", help="first of seven ports (8400)"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=_setting("DATA_DIR") or ROOT / "data",
        help="where everything is kept (data)",
    )
    parser.add_argument(
        "--smtp-url",
        default=_setting("EMAIL__SMTP_URL"),
        help="a real mail server instead of the sink: smtp://host:587; with a password set "
        "EMAIL_SENDER__EMAIL__SMTP_URL instead, because everybody here sees this line",
    )
    parser.add_argument(
        "--database-url",
        default=_setting("DATABASE__URL"),
        help="PostgreSQL instead of SQLite: postgresql://user@host/db; with a password set "
        "EMAIL_SENDER__DATABASE__URL instead",
    )
    parser.add_argument("--to", default="ada@example.test", help="recipient of the first e-mail")
    options = parser.parse_args(arguments)
    if not 1024 <= options.port_base <= 65000:
        parser.error("--port-base must lie between 1024 and 65000")
    return options


def _setting(name: str) -> str | None:
    return os.environ.get(_PREFIX + name) or None


def environment(options: argparse.Namespace, ports: Ports) -> dict[str, str]:
    """What every process of the installation is started with: our own, unless we decide it."""
    data = options.data_dir.resolve()
    decided = {
        "DATA_DIR": str(data),
        "HTTP__PORT": str(ports.api),
        "TELEMETRY__WORKER_METRICS_PORT": str(ports.worker),
        "EMAIL__SMTP_URL": options.smtp_url or f"smtp://127.0.0.1:{ports.sink}",
    }
    if not options.smtp_url:
        decided["EMAIL__SINK_DIRECTORY"] = str(data / "sink")
    if options.database_url:
        decided["DATABASE__URL"] = options.database_url
    if options.with_n8n:
        # It is on this machine, and speaks no TLS: its workflows could not be started from here.
        decided["WEBHOOKS__ALLOW_PRIVATE"] = "true"
        decided["ORCHESTRATOR__ALLOW_PRIVATE_TARGETS"] = "true"
    if options.with_prometheus:
        decided["MONITORING__PROMETHEUS_URL"] = f"http://127.0.0.1:{ports.prometheus}"
    return {
        f"{_PREFIX}IDENTITY__ISSUER": f"http://localhost:{ports.api}",
        f"{_PREFIX}ALERTING__CONSOLE_URL": f"http://localhost:{ports.console}",
        **os.environ,
        **{_PREFIX + key: value for key, value in decided.items()},
    }


def programs(
    options: argparse.Namespace, ports: Ports, env: Mapping[str, str], console_secret: str
) -> list[Program]:
    """The supervised processes, first started first."""
    backend = [sys.executable, "-m", "backend"]
    found = []
    if not options.smtp_url:
        found.append(Program("sink", [*backend, "sink", "--port", str(ports.sink)], env))
    found += [
        Program("api", [*backend, "serve"], env),
        Program("worker", [*backend, "worker"], env),
        Program(
            "console",
            [
                sys.executable,
                "-m",
                "dashboard.launch",
                "--port",
                str(ports.console),
                "--address",
                "127.0.0.1",
                "--data-dir",
                str(options.data_dir.resolve() / "console"),
            ],
            {
                **env,
                "EMAIL_SENDER_CONSOLE__API_URL": f"http://127.0.0.1:{ports.api}",
                "EMAIL_SENDER_CONSOLE__ISSUER_URL": env[f"{_PREFIX}IDENTITY__ISSUER"],
                "EMAIL_SENDER_CONSOLE__PUBLIC_URL": f"http://localhost:{ports.console}",
                "EMAIL_SENDER_CONSOLE__CLIENT_ID": "console",
                "EMAIL_SENDER_CONSOLE__CLIENT_SECRET": console_secret,
            },
        ),
    ]
    return found


def _command(env: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "backend", *arguments],
        env=dict(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise LaunchError(said[-1] if said else f"{arguments[0]} failed")
    return done.stdout


def _direct(**options: Any) -> httpx.AsyncClient:
    # All that is asked here listens on this machine's loopback, which no proxy can reach.
    return httpx.AsyncClient(trust_env=False, **options)


async def _ready(supervisor: Supervisor, checks: Mapping[str, str]) -> None:
    """Wait until every URL answers 200; a process that dies meanwhile ends the waiting."""
    deadline = time.monotonic() + _READY_SECONDS
    waiting = dict(checks)
    async with _direct(timeout=2) as http:
        while True:
            if not supervisor.failed.empty():
                reason = supervisor.failed.get_nowait()
                raise LaunchError(f"{reason}; see {supervisor.log_file(reason.split()[0])}")
            for name, url in list(waiting.items()):
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(url)).status_code == httpx.codes.OK:
                        del waiting[name]
            if not waiting:
                return
            if time.monotonic() > deadline:
                name = next(iter(waiting))
                raise LaunchError(f"{name} is not ready; see {supervisor.log_file(name)}")
            await asyncio.sleep(0.1)


class MainJob:
    """The main job through the public API, exactly as the node does it."""

    def __init__(self, api: str, client: Mapping[str, str]) -> None:
        self._api = api
        self._client = client
        self._http = _direct(base_url=api, timeout=10)

    async def __aenter__(self) -> Self:
        answer = await self._http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(self._client["client_id"], self._client["client_secret"]),
        )
        token = self._expect(answer, 200, "a token")["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @staticmethod
    def _expect(answer: httpx.Response, status: int, what: str) -> dict[str, Any]:
        if answer.status_code != status:
            said = answer.text[:300]
            raise LaunchError(f"asked for {what}, got {answer.status_code}: {said}")
        body: dict[str, Any] = answer.json()
        return body

    async def send(self, recipient: str) -> dict[str, Any]:
        """Send one e-mail and wait until the mail server has accepted it."""
        answer = await self._http.post(
            "/api/v1/emails",
            json={
                "to": [recipient],
                "subject": "Email Sender works",
                "text": "This message went from the API through a durable job to the mail server.",
            },
            headers={"Idempotency-Key": f"first-{os.urandom(8).hex()}"},
        )
        email = self._expect(answer, 202, "an e-mail")
        return await self.accepted(email["id"])

    async def query(self, text: str) -> Mapping[str, Any]:
        """What PromQL comes to now, as the API tells the tenant."""
        answer = await self._http.get("/api/v1/prometheus/query", params={"query": text})
        return self._expect(answer, 200, "a query")

    async def accepted(self, email_id: str) -> dict[str, Any]:
        """The message once the mail server has accepted it, and how long that took by its record.

        ``milliseconds`` lies between the message's becoming durable and the record of the
        server's acceptance: what a sender waits for, without the polling of this program.
        """
        deadline = time.monotonic() + _ACCEPT_SECONDS
        while True:
            email = self._expect(
                await self._http.get(f"/api/v1/emails/{email_id}"), 200, "the e-mail"
            )
            if email["state"] == "accepted":
                made = datetime.fromisoformat(email["created_at"])
                took = datetime.fromisoformat(email["accepted_at"]) - made
                return {**email, "milliseconds": round(took / timedelta(milliseconds=1), 1)}
            if email["state"] in {"bounced", "cancelled", "partial"} or (
                time.monotonic() > deadline
            ):
                said = "; ".join(
                    str(one["response"]) for one in email["recipients"] if one["response"]
                )
                raise LaunchError(f"the e-mail is {email['state']}: {said or 'no answer yet'}")
            await asyncio.sleep(0.02)


async def find_audit(
    env: Mapping[str, str], client: Mapping[str, str], target: str
) -> dict[str, Any]:
    """The audit record of what the start's client did, once the sequencer has numbered it.

    Raises:
        LaunchError: There is none in time, or it names somebody else.
    """
    wanted = f"client:{client['client_id']}"
    deadline = time.monotonic() + _ACCEPT_SECONDS
    while True:
        found = await asyncio.to_thread(
            _command, env, "audit-list", "--tenant", client["tenant_slug"], "--target", target
        )
        records: list[dict[str, Any]] = [json.loads(line) for line in found.splitlines()]
        if records and records[-1]["seq"] is not None:
            record = records[-1]
            if record["actor"] != wanted:
                raise LaunchError(
                    f"the audit trail says {record['action']} of {target} was done by "
                    f"{record['actor']}, not by {wanted}"
                )
            return record
        if time.monotonic() > deadline:
            raise LaunchError(f"the audit trail has no numbered record of {target}")
        await asyncio.sleep(0.3)


def _install_n8n() -> Path:
    """Install n8n into the cache and pack our node; both show their progress."""
    for script in ("install.sh", "pack.sh"):
        # Its lines go to our output: an install of four minutes must not look like a hang.
        done = subprocess.run(
            ["bash", str(ROOT / "scripts" / "n8n" / script)],
            check=False,
            stdout=sys.stderr,
        )
        if done.returncode:
            raise LaunchError(f"scripts/n8n/{script} failed; its last line says why")
    return pack_nodes()


def _run_workflow(
    server: N8nServer, api: str, client: Mapping[str, str], recipient: str
) -> tuple[dict[str, Any], int, str]:
    """Create credential and workflow by n8n's API, publish, call the webhook, find the run."""
    server.start()
    with server.open_api() as n8n:
        credential = n8n.create_oauth2_credential(api, client["client_id"], client["client_secret"])
        workflow = n8n.ensure_demo_workflow(credential)
        answer, execution = n8n.run_webhook(
            workflow,
            DEMO_PATH,
            {
                "to": recipient,
                "subject": "n8n sends through Email Sender",
                "text": "A workflow called the node, the node called the gateway.",
                "business_key": f"demo-{os.urandom(6).hex()}",
            },
        )
        if answer.status_code != httpx.codes.OK:
            raise LaunchError(f"the webhook answered {answer.status_code}: {execution.error}")
        email: dict[str, Any] = answer.json()[0]
    return email, execution.id, execution.status


@contextlib.asynccontextmanager
async def _n8n(
    options: argparse.Namespace,
    ports: Ports,
    package: Path,
    *,
    client: Mapping[str, str],
    env: Mapping[str, str],
) -> AsyncIterator[dict[str, Any]]:
    """n8n with our node while the block lasts; gives what its workflow did."""
    api = f"http://127.0.0.1:{ports.api}"
    _say("==> Starting n8n and running the demo workflow (about 30 s)")
    server = N8nServer(
        options.data_dir.resolve() / "n8n",
        port=ports.n8n,
        broker_port=ports.n8n_broker,
        package=package,
    )
    try:
        email, execution, status = await asyncio.to_thread(
            _run_workflow, server, api, client, options.to
        )
        if status != "success":
            raise LaunchError(f"n8n's execution {execution} ended as {status}")
        async with MainJob(api, client) as job:
            accepted = await job.accepted(email["id"])
        record = await find_audit(env, client, f"email:{email['id']}")
        _say(f"    workflow  answered with {email['message_id']}")
        _say(f"    n8n       execution {execution} {status}")
        _say(f"    audit     #{record['seq']} {record['action']} by {record['actor']}")
        _say(f"    log in to n8n as {server.owner_email}, password {server.owner_password}")
        yield {
            "message_id": email["message_id"],
            "job_id": email["job_id"],
            "audit_seq": record["seq"],
            "milliseconds": accepted["milliseconds"],
            "n8n_execution": {"id": str(execution), "status": status},
        }
    except N8nError as exc:
        raise LaunchError(f"n8n: {str(exc).splitlines()[0]}; see {server.log_file}") from exc
    finally:
        await asyncio.to_thread(server.stop)


async def _launch(options: argparse.Namespace) -> None:
    data = options.data_dir.resolve()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    # First of all: its holder's processes have the ports too, and are what there is to say.
    with hold_folder(data, f"http://localhost:{Ports(options.port_base).console}"):
        await _run(options, data)


async def _run(options: argparse.Namespace, data: Path) -> None:
    ports = Ports(options.port_base)
    wanted = {"API": ports.api, "console": ports.console, "worker metrics": ports.worker}
    if not options.smtp_url:
        wanted["SMTP sink"] = ports.sink
    if options.with_n8n:
        wanted |= {"n8n": ports.n8n, "n8n task broker": ports.n8n_broker}
    if options.with_prometheus:
        wanted["Prometheus"] = ports.prometheus
    refuse_taken_ports(wanted)
    env = environment(options, ports)
    package = await asyncio.to_thread(_install_n8n) if options.with_n8n else None
    server = await asyncio.to_thread(prometheus.find) if options.with_prometheus else None
    _say("==> Migrating the database")
    await asyncio.to_thread(_command, env, "migrate")
    console_url = f"http://localhost:{ports.console}"
    first = json.loads(
        await asyncio.to_thread(_command, env, "bootstrap", "--console-url", console_url)
    )
    console_secret = json.loads((data / "console.json").read_text())["client_secret"]
    if "client_secret" in first:
        _introduce(first, data / "first-run.json")
    client = json.loads(await asyncio.to_thread(_command, env, "start-client"))
    _say("==> Starting the processes")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    api = f"http://127.0.0.1:{ports.api}"
    started = programs(options, ports, env, console_secret)
    if server is not None:
        processes = {"api": ports.api, "worker": ports.worker}
        scraped = prometheus.configuration(processes, ports.console, client)
        started.append(prometheus.program(server, data / "prometheus", ports.prometheus, scraped))
    async with Supervisor(started, data / "logs", lambda said: _say(f"==> {said}")) as supervisor:
        await _ready(
            supervisor,
            {
                "api": f"{api}/readyz",
                "worker": f"http://127.0.0.1:{ports.worker}/metrics",
                "console": f"http://127.0.0.1:{ports.console}/_stcore/health",
            },
        )
        _say("==> Sending the first e-mail through the API")
        async with MainJob(api, client) as job:
            email = await job.send(options.to)
        record = await find_audit(env, client, f"email:{email['id']}")
        result: dict[str, Any] = {
            "accepted": True,
            "message_id": email["message_id"],
            "job_id": email["job_id"],
            "milliseconds": email["milliseconds"],
            "audit_seq": record["seq"],
            "n8n_execution": None,
            "prometheus": None,
        }
        _say(f"    message   {result['message_id']}")
        _say(f"    job       {result['job_id']}")
        _say(f"    accepted by the mail server in {result['milliseconds']} ms")
        _say(f"    audit     #{record['seq']} {record['action']} by {record['actor']}")
        if server is not None:
            _say("==> Waiting for Prometheus to scrape and to evaluate the rules (about 30 s)")
            async with MainJob(api, client) as job, _direct(timeout=10) as http:
                url = f"http://127.0.0.1:{ports.prometheus}"
                look = prometheus.Verification(url, http, job.query, client["tenant_id"])
                result["prometheus"] = await look.run(_say)
        if package is not None:
            async with _n8n(options, ports, package, client=client, env=env) as found:
                result |= found
                await _finish(options, ports, stop)
        else:
            await _finish(options, ports, stop)
    if options.once:
        _say(json.dumps(result))


def _introduce(first: Mapping[str, str], kept: Path) -> None:
    """Show new secrets, once."""
    if "admin_password" in first:
        _say("==> First start: keep these, they are shown once")
    else:
        _say("==> The demo tenant is there, its client's secret is not: here is another client")
    for name, value in first.items():
        _say(f"    {name:<15} {value}")
    _say(f"    (also in {kept}, readable by you alone)")
    if "admin_password" not in first:
        _say("    People log in as before; `email-sender reset-password EMAIL` helps who cannot")


async def _finish(options: argparse.Namespace, ports: Ports, stop: asyncio.Event) -> None:
    if options.once:
        _say("==> Verified; stopping")
        return
    _say("==> Running")
    _say(f"    console   http://localhost:{ports.console}")
    _say(f"    API       http://localhost:{ports.api}  (OpenAPI at /openapi.json)")
    if options.with_n8n:
        _say(f"    n8n       http://127.0.0.1:{ports.n8n}")
    if options.with_prometheus:
        _say(f"    Prometheus http://127.0.0.1:{ports.prometheus}")
    _say(f"    logs      {options.data_dir.resolve() / 'logs'}")
    _say("    Ctrl-C stops everything")
    await stop.wait()
    _say("==> Stopping")


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"scripts/run: {message}\n")
    sys.exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Launch; every failure is one clear line and a non-zero exit."""
    # Also for what the processes log and keep: they inherit it.
    os.umask(0o077)
    options = _options(arguments)
    try:
        asyncio.run(_launch(options))
    except httpx.RequestError as exc:
        _fail(f"no answer from {exc.request.url}: {str(exc) or type(exc).__name__}")
    except OSError as exc:
        _fail(f"{exc.filename}: {exc.strerror}" if exc.filename else repr(exc))
    except (FolderInUseError, LaunchError, N8nError, PortTakenError, PrometheusError) as exc:
        _fail(str(exc).splitlines()[0])
    except KeyboardInterrupt:
        sys.exit(130)
