"""Programs are told of events whatever happens meanwhile: kills, changes, neighbours, time."""

import asyncio
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.events import OUTBOX, Retention, sweep_events
from backend.managers.security import SealedError, SecurityManager
from backend.managers.webhooks import HORIZON, WebhooksManager, WebhooksSettings, _delivering
from backend.managers.webhooks.models import WebhookRow
from backend.settings import EventSettings
from tests.support.platform import App
from tests.support.webhooks import Post, Receiver, mac


def other_process(post: Post) -> WebhooksManager:
    """The room as another worker has it, on the same database."""
    mine = post.app.platform.of(WebhooksManager)
    return WebhooksManager(
        post.app.platform.of(SecurityManager),
        mine.delivering._outbound,
        mine.endpoints._kinds,
        WebhooksSettings(allow_private=True),
    )


async def outcomes(post: Post, webhook_id: str, **query: str) -> list[str]:
    path = f"/api/v1/webhooks/{webhook_id}/deliveries"
    found = (await post.http.get(path, params=query)).json()["items"]
    return [one["outcome"] for one in reversed(found)]


class TestTwoProcesses:
    async def test_of_two_at_once_one_tells(self, post: Post, receiver: Receiver) -> None:
        await post.make(receiver.url)
        wanted = [await post.fire(f"n{number}") for number in range(10)]
        await post.app.sequence()
        both = [post.delivering, other_process(post).delivering]
        await asyncio.gather(*(one.deliver_due(post.database) for one in both))
        await asyncio.gather(*(one.settle() for one in both))
        assert receiver.subjects == wanted

    async def test_what_was_sent_and_not_written_down_is_sent_again(
        self, post: Post, receiver: Receiver
    ) -> None:
        made = await post.make(receiver.url)
        wanted = [await post.fire(name) for name in ("one", "two")]
        await post.app.sequence()
        killed = other_process(post).delivering

        async def kill() -> None:
            for task in killed._at_work.values():
                task.cancel()

        receiver.meanwhile = kill
        await killed.deliver_due(post.database)
        await killed.settle()
        assert receiver.subjects == wanted[:1]
        await post.deliver()
        assert receiver.subjects == wanted[:1], "somebody else's lease is not over"
        await post.change(made["id"], held_until=None)
        await post.deliver()
        assert receiver.subjects == [wanted[0], *wanted]
        ids = [headers["webhook-id"] for headers, _ in receiver.got]
        assert ids[0] == ids[1] != ids[2]

    async def test_a_process_that_ends_writes_down_what_it_told(
        self, post: Post, receiver: Receiver
    ) -> None:
        made = await post.make(receiver.url)
        for name in ("one", "two"):
            await post.fire(name)
        await post.app.sequence()
        ending = other_process(post).delivering
        begun = asyncio.Event()

        async def until_it_ends() -> None:
            begun.set()
            while not ending._ending:
                await asyncio.sleep(0)

        receiver.meanwhile = until_it_ends
        async with ending.serving():
            await ending.deliver_due(post.database)
            await begun.wait()
        assert await outcomes(post, made["id"]) == ["delivered"]
        assert await ending.deliver_due(post.database) == 0
        await post.deliver()
        assert await outcomes(post, made["id"]) == ["delivered"] * 2


class TestMeanwhile:
    @pytest.mark.parametrize("act", ["delete", "disable"])
    async def test_one_that_is_deleted_or_disabled_is_told_nothing_more(
        self, post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, act: str
    ) -> None:
        monkeypatch.setattr(_delivering, "_LOOK_SECONDS", -1)
        made = await post.make(receiver.url)
        wanted = [await post.fire(name) for name in ("one", "two", "three")]

        async def change() -> None:
            path = f"/api/v1/webhooks/{made['id']}"
            off = {"name": "hook", "kinds": ["alert.fired"], "enabled": False}
            done = await (
                post.http.delete(path) if act == "delete" else post.http.put(path, json=off)
            )
            assert done.is_success, done.text

        receiver.meanwhile = change
        await post.deliver()
        await post.deliver()
        assert receiver.subjects == wanted[:1]

    async def test_a_replay_that_overtakes_a_turn_is_where_it_goes_on(
        self, post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_delivering, "_LOOK_SECONDS", -1)
        made = await post.make(receiver.url)
        wanted = [await post.fire(name) for name in ("one", "two")]

        async def again() -> None:
            path = f"/api/v1/webhooks/{made['id']}/replay"
            assert (await post.http.post(path, json={"after_seq": 0})).is_success

        receiver.meanwhile = again
        await post.deliver()
        await post.deliver()
        assert receiver.subjects == [wanted[0], *wanted]
        assert (await post.get(made["id"]))["behind"] == 0

    async def test_it_is_told_again_since_a_time(self, post: Post, receiver: Receiver) -> None:
        made = await post.make(receiver.url)
        await post.fire("one")
        await post.deliver()
        async with post.database.read(Scope("test", post.tenant_id)) as view:
            moment = view.now()
        await asyncio.sleep(0.005)  # ids are made of milliseconds
        later = await post.fire("two")
        await post.deliver()
        path = f"/api/v1/webhooks/{made['id']}/replay"
        answer = await post.http.post(path, json={"since": moment.isoformat()})
        assert answer.is_success, answer.text
        await post.deliver()
        assert receiver.subjects[2:] == [later]
        for said in ({}, {"since": moment.isoformat(), "after_seq": 0}):
            assert (await post.http.post(path, json=said)).status_code == 422


class TestRefusals:
    async def test_whoever_refuses_everything_is_stopped_as_well(
        self, post: Post, receiver: Receiver
    ) -> None:
        made = await post.make(receiver.url)
        await post.fire("one")
        receiver.answers = [400] * 5
        for _ in range(5):
            await post.deliver()
            await post.at_once(made["id"])
        now = await post.get(made["id"])
        assert (now["failures"], now["last_error"]) == (0, "It answered 400")
        assert now["failing_since"] is not None
        await post.change(
            made["id"], failing_since=await post.now() - HORIZON - timedelta(minutes=1)
        )
        await post.fire("two")
        receiver.answers = [400]
        await post.deliver()
        assert (await post.get(made["id"]))["stopped_why"] is not None

    async def test_what_was_not_taken_can_be_listed_alone(
        self, post: Post, receiver: Receiver
    ) -> None:
        made = await post.make(receiver.url)
        await post.fire("one")
        receiver.answers = [503]
        await post.deliver()
        await post.at_once(made["id"])
        await post.deliver()
        assert await outcomes(post, made["id"]) == ["failed", "delivered"]
        assert await outcomes(post, made["id"], failed="true") == ["failed"]

    @pytest.mark.parametrize(("asked", "least", "most"), [("7", 6, 8), ("999999", 3590, 3601)])
    async def test_it_waits_as_long_as_it_is_asked_to_up_to_an_hour(
        self, post: Post, receiver: Receiver, asked: str, least: int, most: int
    ) -> None:
        receiver.more_headers = {"Retry-After": asked}
        made = await post.make(receiver.url)
        await post.fire("one")
        receiver.answers = [429]
        await post.deliver()
        now = await post.get(made["id"])
        row = await post.row(made["id"])
        wait = (row.next_try_at - await post.now()).total_seconds()
        assert now["failures"] == 1
        assert least - 2 <= wait <= most

    def test_what_is_answered_is_told_in_one_short_line(self) -> None:
        body = b"no\x00such\nkey \xff" + b"x" * 1000
        said = _delivering.answered(500, body)
        assert said.startswith("It answered 500: no such key \ufffd")
        assert len(said) < 230
        assert _delivering.answered(404, b" \n") == "It answered 404"


class TestWhatIsNoLongerKept:
    async def test_is_told_once_and_not_passed_over_in_silence(
        self, post: Post, receiver: Receiver
    ) -> None:
        made = await post.make(receiver.url)
        for name in ("one", "two"):
            await post.fire(name)
        await post.app.sequence()
        await self.forget(post)
        await post.deliver()
        assert receiver.got == []
        (missed,) = await post.deliveries(made["id"])
        assert missed["outcome"] == "missed"
        assert missed["error"].startswith("Events 1 to ")
        assert (await post.get(made["id"]))["behind"] == 0
        await post.http.post(f"/api/v1/webhooks/{made['id']}/replay", json={"after_seq": 0})
        await post.fire("three")
        receiver.answers = [500, 500]
        for _ in range(3):
            await post.deliver()
            await post.at_once(made["id"])
        assert await outcomes(post, made["id"]) == [
            *("missed", "missed", "failed", "failed", "delivered")
        ]

    async def forget(self, post: Post) -> None:
        async with post.database.transaction(SystemScope(OUTBOX)) as tx:
            while await sweep_events(tx, Retention(unread_days=-1)):
                pass

    def test_stays_until_its_last_delivery_is_forgotten(self) -> None:
        """The body of a delivery is made of the event, also after three days of standing still."""
        kept = EventSettings()
        assert timedelta(hours=kept.keep_hours) >= HORIZON + _delivering.KEPT
        assert timedelta(days=kept.keep_days) >= timedelta(hours=kept.keep_hours)


class TestNeighbours:
    async def test_a_tenant_with_many_keeps_nobody_else_waiting(
        self, app: App, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_delivering, "_FOUND", 8)
        many, one = [Post(app, await app.caller("owner")) for _ in range(2)]
        async with Receiver().running() as slow:
            for number in range(12):
                await many.make(slow.url, name=f"n{number}")
            await one.make(receiver.url)
            await many.fire("theirs")
            mine = await one.fire("mine")
            await one.deliver()
            assert receiver.subjects == [mine]
            assert len(slow.got) == 4
            for _ in range(2):
                await one.deliver()
            assert len(slow.got) == 12

    async def test_one_that_cannot_be_opened_stands_before_nobody(
        self, post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = await post.make(receiver.url)
        await post.fire("one")
        before = await post.now()

        def seal(*_: object) -> None:
            raise SealedError

        with monkeypatch.context() as sealed:
            sealed.setattr(_delivering, "opened", seal)
            await post.deliver()
        assert (await post.row(made["id"])).next_try_at > before + timedelta(seconds=20)
        assert receiver.got == []
        await post.at_once(made["id"])
        await post.deliver()
        assert len(receiver.got) == 1


class TestWalls:
    async def test_nobody_takes_over_what_tells_of_more_than_they_may_read(
        self, app: App, receiver: Receiver
    ) -> None:
        owner = await app.caller("owner")
        post, flow = Post(app, owner), Post(app, await app.caller("workflow", owner.tenant))
        made = await post.make(receiver.url, kinds=["member.role_changed", "alert.fired"])
        path = f"/api/v1/webhooks/{made['id']}"
        mine = {"name": "hook", "url": receiver.url, "kinds": ["alert.fired"]}
        for refused in (
            await flow.http.post(f"{path}/rotate"),
            await flow.http.post(f"{path}/replay", json={"after_seq": 0}),
            await flow.http.put(path, json=mine),
        ):
            assert refused.status_code == 403, refused.text
            assert refused.json()["code"] == "webhooks.forbidden"

    async def test_deliveries_tell_nobody_of_what_they_may_not_read(
        self, app: App, receiver: Receiver
    ) -> None:
        owner = await app.caller("owner")
        post, flow = Post(app, owner), Post(app, await app.caller("workflow", owner.tenant))
        made = await post.make(receiver.url, kinds=["api_key.created", "alert.fired"])
        key = {"name": "printer", "role": "workflow"}
        assert (await post.http.post("/api/v1/api-keys", json=key)).is_success
        await post.fire("one")
        await post.deliver()
        path = f"/api/v1/webhooks/{made['id']}/deliveries"
        all_of_it = (await post.http.get(path)).json()["items"]
        assert [one["kind"] for one in all_of_it] == ["alert.fired", "api_key.created"]
        seen = (await flow.http.get(path)).json()["items"]
        assert [one["kind"] for one in seen] == ["alert.fired"]
        assert (await flow.http.get(f"{path}/{all_of_it[1]['id']}")).status_code == 404
        assert (await flow.http.get(f"{path}/{all_of_it[0]['id']}")).status_code == 200


class TestTest:
    async def test_says_that_it_is_one_and_is_signed(self, post: Post, receiver: Receiver) -> None:
        made = await post.make(receiver.url)
        path = f"/api/v1/webhooks/{made['id']}/test"
        taken = (await post.http.post(path)).json()
        assert (taken["outcome"], taken["status"], taken["error"]) == ("delivered", 204, None)
        headers, body = receiver.got[0]
        assert json.loads(body)["kind"] == "webhook.test"
        assert headers["webhook-signature"] == mac(made["secret"], headers, body)
        receiver.answers = [500]
        failed = (await post.http.post(path)).json()
        assert (failed["outcome"], failed["error"]) == ("refused", "It answered 500")
        assert await outcomes(post, made["id"]) == ["delivered", "refused"]
        records = (await post.http.get("/api/v1/audit")).json()["items"]
        assert [one["data"]["taken"] for one in records if one["action"] == "webhook.tested"] == [
            False,
            True,
        ]


async def test_where_it_leads_stands_nowhere_in_the_clear(post: Post, receiver: Receiver) -> None:
    made = await post.make(f"{receiver.url}?key=hush")
    async with post.database.read(Scope("test", post.tenant_id)) as view:
        row = await view.scalar(sa.select(WebhookRow).where(WebhookRow.tenant_id == post.tenant_id))
    assert b"hush" not in row.sealed_target
    assert "hush" not in (await post.http.get(f"/api/v1/webhooks/{made['id']}")).text
    audit = await post.http.get("/api/v1/audit")
    assert "hush" not in audit.text
    assert made["secret"] not in audit.text
