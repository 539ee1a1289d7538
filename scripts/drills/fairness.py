"""The drill on sharing: one tenant does all it can to the platform, another just uses it.

Tenant A names a mail server that accepts connections and stays silent, hosts that a name server
never answers for, templates made to cost, a batch of 500 messages and bodies of 30 MB, all at once.
Tenant B sends a message now and then and looks what became of it.

A's programs run with the least priority: in life they have a machine of their own. Limits of rates
are those of an installation that was left as it is; only the mail server's silence ends after a
minute instead of five, so that in the end A's mail is accounted for within minutes.
"""

import asyncio
import base64
import contextlib
import json
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Final, Self

import httpx

from backend.app import compose
from backend.core.context import Scope, SystemScope
from backend.managers.email import EmailSettings
from backend.managers.identity import IdentityManager
from backend.managers.tenant import PLATFORM, TenantManager
from backend.settings import Settings
from scripts.drills.rig import DrillError, Json, Rig
from scripts.installation import free_ports

_WARM_SECONDS: Final = 8.0
_QUIET_SECONDS: Final = 15.0
_BATCH: Final = 500
_PAUSE_SECONDS: Final = 0.05
_MOST_RATIO: Final = 3.0
_MOST_SECONDS: Final = 0.25
_MOST_ACCEPTANCE_SECONDS: Final = 3.0
_BODY: Final = 30 * 10**6
_FITTING: Final = 20
_COSTLY: Final = "{% for a in many %}{{ big|upper|nl2br|urlencode|length }}{% endfor %}"


def settings() -> Mapping[str, str]:
    """Settings with a name server on a port where the drill will listen and say nothing."""
    (port,) = free_ports(1)
    return {
        "EMAIL__ALLOW_PRIVATE_RELAYS": "true",
        "EMAIL__REQUESTS_PER_SECOND": str(EmailSettings().requests_per_second),
        "EMAIL__BURST_REQUESTS": str(EmailSettings().burst_requests),
        "EMAIL__SMTP_TIMEOUTS__GREETING_SECONDS": "60",
        "EMAIL__BACKOFF_SECONDS": "0.5",
        "OUTBOUND__NAME_SERVERS": json.dumps([f"127.0.0.1#{port}"]),
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """What B waited for, in seconds."""

    answers: Sequence[float]
    acceptances: Sequence[float]
    probes: Sequence[float]
    """Of a route that waits for nothing but the API's event loop."""

    @property
    def p50(self) -> float:
        """Of the API's answers."""
        return quantiles(self.answers, n=20)[9]

    @property
    def p95(self) -> float:
        """Of the API's answers."""
        return quantiles(self.answers, n=20)[18]

    @property
    def acceptance_p95(self) -> float:
        """From a message's submission until its acceptance was told."""
        return quantiles(self.acceptances, n=20)[18]


@dataclass(frozen=True, slots=True)
class FairnessReport:
    """What B saw while A did nothing, and while it did all it could."""

    quiet: Seen
    loaded: Seen
    sent: int
    """Messages of A that were answered with an id."""
    states: Mapping[str, int]
    """Of all messages of A, at the end."""
    answers: Mapping[str, int]
    """What A's requests were answered."""

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = []
        most = min(_MOST_RATIO * self.quiet.p95, _MOST_SECONDS)
        if self.loaded.p95 > most:
            found.append(f"B's API p95 is {self.loaded.p95:.3f} s, over {most:.3f} s")
        if self.loaded.acceptance_p95 > _MOST_ACCEPTANCE_SECONDS:
            found.append(f"B's mail is accepted after {self.loaded.acceptance_p95:.1f} s (p95)")
        if sum(self.states.values()) != self.sent:
            found.append(f"A was told of {self.sent} messages, {dict(self.states)} are there")
        if open_ := {s: n for s, n in self.states.items() if s not in {"accepted", "bounced"}}:
            found.append(f"A's messages are not settled: {open_}")
        return found

    def __str__(self) -> str:
        """One line for people."""
        quiet, loaded = self.quiet, self.loaded
        return (
            f"B's API p50 {1000 * quiet.p50:.0f} -> {1000 * loaded.p50:.0f} ms, p95 "
            f"{1000 * quiet.p95:.0f} -> {1000 * loaded.p95:.0f} ms "
            f"({loaded.p95 / quiet.p95:.1f} times, {len(loaded.answers)} answers); its mail "
            f"accepted after {quiet.acceptance_p95:.2f} -> {loaded.acceptance_p95:.2f} s (p95 of "
            f"{len(loaded.acceptances)}); the API's event loop kept others waiting for "
            f"{1000 * quantiles(loaded.probes, n=20)[18]:.0f} ms (p95), at most "
            f"{1000 * max(loaded.probes):.0f} ms; A got {dict(self.answers)}, its {self.sent} "
            f"messages ended {dict(self.states)}"
        )


async def fairness(rig: Rig, _: random.Random, *, seconds: int = 120) -> FairnessReport:
    """Let A do its worst for so long while B works; then let A's mail go out."""
    made = json.loads(await asyncio.to_thread(rig.run_module, __name__, "tenant"))
    await rig.start("worker")
    async with _Attacker(rig, made) as attacker, _silence(rig) as tarpit:
        # A worker that begins and caches that are cold are no quiet installation.
        await _use(rig, _WARM_SECONDS)
        quiet = await _use(rig, _QUIET_SECONDS)
        load = await asyncio.create_subprocess_exec(
            "nice",
            "-n19",
            sys.executable,
            "-m",
            "scripts.drills.fairness",
            "load",
            str(attacker.http.base_url),
            attacker.token,
            str(tarpit),
            str(seconds),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            loaded = await _use(rig, float(seconds))
            told, _none = await asyncio.wait_for(load.communicate(), 120)
        finally:
            if load.returncode is None:
                load.kill()
                await load.wait()
        result = json.loads(told)
        await attacker.relay(rig.sink_port)
        states = await attacker.until_settled()
    return FairnessReport(quiet, loaded, result["sent"], states, result["answers"])


async def _use(rig: Rig, seconds: float) -> Seen:
    """B at work: a message every half a second, and a look at the list as often as it answers."""
    answers: list[float] = []
    acceptances: list[float] = []
    probes: list[float] = []
    end = time.monotonic() + seconds

    async def ask(method: str, path: str, **more: Any) -> Json:
        began = time.monotonic()
        answer = await rig.http.request(method, path, **more)
        answers.append(time.monotonic() - began)
        if answer.is_error:
            raise DrillError(f"B's {method} {path} was answered {answer.status_code}")
        body: Json = answer.json()
        return body

    async def mail(number: int) -> None:
        message = {"to": [f"b-{number}@b.test"], "subject": "B", "text": "B"}
        began = time.monotonic()
        email = await ask("POST", "/api/v1/emails", json=message)
        while email["state"] != "accepted" and time.monotonic() - began < 60:
            await asyncio.sleep(_PAUSE_SECONDS)
            email = await ask("GET", f"/api/v1/emails/{email['id']}")
        acceptances.append(time.monotonic() - began)

    async def probe() -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            await rig.http.get("/livez")
            probes.append(time.monotonic() - began)
            await asyncio.sleep(_PAUSE_SECONDS)

    async with asyncio.TaskGroup() as group:
        group.create_task(probe())
        number = 0
        while time.monotonic() < end:
            group.create_task(mail(number))
            number += 1
            next_mail = time.monotonic() + 0.5
            while time.monotonic() < next_mail:
                await ask("GET", "/api/v1/emails?limit=20")
                await asyncio.sleep(_PAUSE_SECONDS)
    return Seen(answers, acceptances, probes)


@contextlib.asynccontextmanager
async def _silence(rig: Rig) -> AsyncIterator[int]:
    """A mail server and a name server that say nothing; the mail server's port."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    (address,) = json.loads(rig.setting("OUTBOUND__NAME_SERVERS"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", int(address.partition("#")[2])))
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]


class _Attacker:
    """Tenant A, as its own administrator."""

    def __init__(self, rig: Rig, client: Json) -> None:
        self.http = httpx.AsyncClient(base_url=rig.http.base_url, timeout=120, trust_env=False)
        self.token = ""
        self._client = client

    async def __aenter__(self) -> Self:
        answer = await self.http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(self._client["client_id"], self._client["client_secret"]),
        )
        self.token = answer.raise_for_status().json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def relay(self, port: int) -> None:
        """Have A's mail go to this port from now on."""
        (await self.http.put("/api/v1/email-settings", json=_settings(port))).raise_for_status()

    async def until_settled(self) -> Mapping[str, int]:
        """Wait until all of A's messages have ended; how many are in which state."""
        deadline = time.monotonic() + 400
        while True:
            states: Counter[str] = Counter()
            query: dict[str, Any] = {"limit": 200}
            while True:
                answer = await self.http.get("/api/v1/emails", params=query)
                page = answer.raise_for_status().json()
                states.update(email["state"] for email in page["items"])
                if page["next_cursor"] is None:
                    break
                query["cursor"] = page["next_cursor"]
            if not states.keys() & {"queued", "sending", "deferred"}:
                return states
            if time.monotonic() > deadline:
                return states
            await asyncio.sleep(2)


def _settings(port: int, host: str = "127.0.0.1") -> Json:
    smtp = {"host": host, "port": port, "tls": "none"}
    return {"from_address": "a@a.test", "from_name": "A", "smtp": smtp}


def _large(size: int) -> Json:
    octets = base64.b64encode(b"x" * size).decode()
    return {
        "to": ["a@a.test"],
        "subject": "large",
        "text": "large",
        "attachments": [{"filename": "a.bin", "content": octets}],
    }


async def _load(url: str, token: str, tarpit: int, seconds: float) -> Json:
    """Do all of it at once for so long; how many messages were taken, and what was answered."""
    answers: Counter[str] = Counter()
    sent = 0
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(
        base_url=url, timeout=60, trust_env=False, headers={"Authorization": f"Bearer {token}"}
    ) as http:

        async def ask(what: str, method: str, path: str, **more: Any) -> Json:
            nonlocal sent
            try:
                answer = await http.request(method, path, **more)
            except httpx.TransportError as exc:
                answers[f"{what} {type(exc).__name__}"] += 1
                return {}
            answers[f"{what} {answer.status_code}"] += 1
            if path.startswith("/api/v1/emails") and answer.is_success:
                body = answer.json()
                sent += len(body.get("items", [body]))
            return {}

        async def again(what: str, method: str, path: str, **more: Any) -> None:
            while time.monotonic() < end:
                await ask(what, method, path, **more)
                await asyncio.sleep(_PAUSE_SECONDS)

        async def unknown_hosts() -> None:
            number = 0
            while time.monotonic() < end:
                number += 1
                hole = _settings(25, f"h{number}.hole.test")
                await ask("settings", "PUT", "/api/v1/email-settings", json=hole)
                # Back to the server that hangs: it is the worse of the two for the worker.
                await ask("settings", "PUT", "/api/v1/email-settings", json=_settings(tarpit))

        async def send_large(body: bytes, times: int) -> None:
            head = {"Content-Type": "application/json"}
            while time.monotonic() < end and times:
                times -= 1
                await ask("large", "POST", "/api/v1/emails/batch", content=body, headers=head)
                await asyncio.sleep(_PAUSE_SECONDS)

        await ask("settings", "PUT", "/api/v1/email-settings", json=_settings(tarpit))
        batch = [{"to": [f"a-{n}@a.test"], "subject": "A", "text": "A"} for n in range(_BATCH)]
        await ask("batch", "POST", "/api/v1/emails/batch", json={"messages": batch})
        costly = {"subject": "s", "text": _COSTLY, "html": _COSTLY}
        await ask("template", "PUT", "/api/v1/email-templates/costly", json=costly)
        variables = {"many": list(range(1000)), "big": "\n" * 100_000}
        bomb = {"to": ["a@a.test"], "template": "costly", "variables": variables}
        # One that may be sent, as often as it may be stored here, and one that is refused.
        fitting, refused = (
            json.dumps({"messages": [_large(size)] * count}).encode()
            for size, count in ((_BODY // 3, 2), (_BODY * 3 // 4, 1))
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(unknown_hosts())
            for _ in range(2):
                group.create_task(again("bomb", "POST", "/api/v1/emails", json=bomb))
            group.create_task(send_large(fitting, _FITTING))
            group.create_task(send_large(refused, sys.maxsize))
    return {"sent": sent, "answers": answers}


async def _make_tenant() -> Json:
    platform = compose(Settings())
    async with platform.running():
        async with platform.database.transaction(SystemScope(PLATFORM)) as tx:
            tenant = await platform.of(TenantManager).create_tenant(tx, slug="a", name="A")
        scope = Scope(actor="system:drill", tenant_id=tenant.id)
        async with platform.database.transaction(scope) as tx:
            client, secret = await platform.of(IdentityManager).clients.create_client(
                tx, name="a", role="admin", granter=None
            )
    return {"client_id": client.client_id, "client_secret": secret}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.argv[1] == "tenant":
        made = asyncio.run(_make_tenant())
    else:
        url, token, tarpit, seconds = sys.argv[2:]
        made = asyncio.run(_load(url, token, int(tarpit), float(seconds)))
    sys.stdout.write(json.dumps(made))
