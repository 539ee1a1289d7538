"""What the outbox is told of a message: one event a step, however many recipients it has."""

from typing import Any

import pytest

from backend.core.context import Scope
from backend.core.events import Event, read_events
from tests.support.mailing import Mailing
from tests.support.platform import App, TenantClient

EMAIL: dict[str, Any] = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}


async def told(app: App, ada: TenantClient, made: dict[str, Any]) -> list[Event]:
    await app.sequence()
    async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
        found = await read_events(tx, after=0, limit=1000)
    return [
        event
        for event in found
        if event.subject in {f"email:{made['id']}", f"job:{made['job_id']}"}
    ]


class TestEvents:
    @pytest.mark.slow
    async def test_tell_the_way_of_a_message(self, mailing: Mailing) -> None:
        for to, kinds, recipients in (
            (["ada@example.test", "bob@example.test"], ["email.accepted"], {"accepted": 2}),
            (["bounce@example.test"], ["email.bounced", "job.dead"], {"bounced": 1}),
            (
                ["ada@example.test", "bounce@example.test"],
                ["email.partial", "job.dead"],
                {"accepted": 1, "bounced": 1},
            ),
            (
                ["defer-once@example.test"],
                ["email.deferred", "email.accepted"],
                {"accepted": 1},
            ),
        ):
            ada = await mailing.caller()
            made = (await ada.http.post("/api/v1/emails", json={**EMAIL, "to": to})).json()
            state = next(k for k in reversed(kinds) if k.startswith("email.")).partition(".")[2]
            await mailing.settled(ada, made["id"], state)
            await mailing.ended(ada, made["job_id"])
            events = await told(mailing, ada, made)
            assert sorted(event.kind for event in events) == sorted(["email.queued", *kinds]), to
            last = [event for event in events if event.kind.startswith("email.")][-1]
            assert last.kind == f"email.{state}"
            assert last.data == {"recipients": recipients}, to

    async def test_tell_of_a_cancellation_and_a_retry(self, app: App) -> None:
        ada = await app.caller()
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        await ada.http.post(f"/api/v1/jobs/{made['job_id']}/cancel")
        await ada.http.post(f"/api/v1/jobs/{made['job_id']}/retry")
        events = await told(app, ada, made)
        assert [event.kind for event in events] == [
            "email.queued",
            "job.cancelled",
            "email.cancelled",
            "job.retried",
        ]
        assert {event.actor for event in events} == {f"client:{ada.client_id}"}

    async def test_of_a_batch_go_in_one_statement_and_name_each(self, app: App) -> None:
        ada = await app.caller()
        batch = {"messages": [EMAIL] * 20}
        made = (await ada.http.post("/api/v1/emails/batch", json=batch)).json()["items"]
        for each in made:
            assert [event.kind for event in await told(app, ada, each)] == ["email.queued"]
