"""A tenant whose programs are told of events, and programs that are told."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from backend.core.context import Scope
from backend.managers.webhooks import WebhooksManager
from backend.managers.webhooks.models import WebhookRow
from tests.support.hooks import HookServer
from tests.support.platform import App, TenantClient


class Receiver(HookServer):
    """Answers as it is told to, and remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[Mapping[str, str], bytes]] = []
        self.answers: list[int] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """What happens before the next answer."""

    async def take(self, _: str, headers: Mapping[str, str], body: bytes) -> int:
        self.got.append((headers, body))
        if self.meanwhile is not None:
            what, self.meanwhile = self.meanwhile, None
            await what()
        return self.answers.pop(0) if self.answers else 204

    @property
    def subjects(self) -> list[str]:
        return [json.loads(body)["subject"] for _, body in self.got]


class Post:
    """A tenant whose programs are told."""

    def __init__(self, app: App, who: TenantClient) -> None:
        self.app = app
        self.http = who.http
        self.tenant_id = who.tenant.id
        self.database = app.platform.database
        self.delivering = app.platform.of(WebhooksManager).delivering

    async def make(self, url: str, status: int = 201, **more: Any) -> Any:
        said = {"name": "hook", "url": url, "kinds": ["alert.fired", "alert.resolved"], **more}
        answer = await self.http.post("/api/v1/webhooks", json=said)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def fire(self, name: str) -> str:
        body = {"name": name, "severity": "info"}
        made = (await self.http.post("/api/v1/alerts", json=body)).json()
        return f"alert:{made['id']}"

    async def deliver(self) -> None:
        await self.app.sequence()
        await self.delivering.deliver_due(self.database)
        await self.delivering.settle()

    async def get(self, webhook_id: str) -> Any:
        return (await self.http.get(f"/api/v1/webhooks/{webhook_id}")).json()

    async def deliveries(self, webhook_id: str) -> list[Any]:
        path = f"/api/v1/webhooks/{webhook_id}/deliveries"
        return list((await self.http.get(path)).json()["items"])

    async def change(self, webhook_id: str, **values: Any) -> None:
        async with self.database.transaction(Scope("test", self.tenant_id)) as tx:
            row = await tx.scalar(
                sa.select(WebhookRow).where(
                    WebhookRow.tenant_id == self.tenant_id, WebhookRow.id == webhook_id
                )
            )
            for name, value in values.items():
                setattr(row, name, value)

    async def row(self, webhook_id: str) -> Any:
        async with self.database.read(Scope("test", self.tenant_id)) as view:
            return await view.scalar(
                sa.select(WebhookRow).where(
                    WebhookRow.tenant_id == self.tenant_id, WebhookRow.id == webhook_id
                )
            )

    async def now(self) -> datetime:
        async with self.database.read(Scope("test", self.tenant_id)) as view:
            return view.now()

    async def at_once(self, webhook_id: str) -> None:
        await self.change(webhook_id, next_try_at=await self.now() - timedelta(seconds=5))


def documented_verifier() -> Callable[..., None]:
    """The program that the document gives people to verify with."""
    text = (Path(__file__).parents[2] / "docs" / "managers" / "webhooks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "webhooks.md", "exec"), names)  # noqa: S102 - our own document's
    verify: Callable[..., None] = names["verify"]
    return verify


def mac(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
