"""Programs are told of events: in order, at least once, signed, and each for itself."""

import json
from datetime import timedelta

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.managers.webhooks import FORGETTING
from backend.managers.webhooks.models import DeliveryRow
from tests.support.platform import App
from tests.support.webhooks import Post, Receiver, mac


async def test_events_come_in_order_signed_and_once(post: Post, receiver: Receiver) -> None:
    await post.fire("before")
    await post.app.sequence()
    made = await post.make(receiver.url)
    wanted = [await post.fire(name) for name in ("one", "two", "three")]
    for _ in range(2):
        await post.deliver()
    assert receiver.subjects == wanted
    headers, body = receiver.got[0]
    assert headers["webhook-signature"] == mac(made["secret"], headers, body)
    assert headers["webhook-id"] == json.loads(body)["id"]
    assert headers["webhook-key-id"] == "1"
    now = await post.get(made["id"])
    assert (now["behind"], now["failures"]) == (0, 0)
    tried = await post.deliveries(made["id"])
    assert [one["outcome"] for one in tried] == ["delivered"] * 3
    one = (
        await post.http.get(f"/api/v1/webhooks/{made['id']}/deliveries/{tried[-1]['id']}")
    ).json()
    assert one["body"] == json.loads(body)


async def test_one_that_fails_is_tried_again_and_holds_up_its_own_alone(
    post: Post, receiver: Receiver
) -> None:
    made = await post.make(receiver.url)
    async with Receiver().running() as other:
        await post.make(other.url, name="other")
        wanted = [await post.fire(name) for name in ("one", "two")]
        receiver.answers = [500, 503]
        await post.deliver()
        assert other.subjects == wanted
    assert receiver.subjects == wanted[:1]
    now = await post.get(made["id"])
    assert (now["failures"], now["last_error"]) == (1, "It answered 500")
    for _ in range(2):
        await post.at_once(made["id"])
        await post.deliver()
    assert receiver.subjects == [wanted[0], wanted[0], wanted[0], wanted[1]]
    tried = await post.deliveries(made["id"])
    assert [(one["outcome"], one["attempt"]) for one in reversed(tried)] == [
        ("failed", 1),
        ("failed", 2),
        ("delivered", 3),
        ("delivered", 1),
    ]


async def test_an_event_that_is_refused_is_passed_over_after_five_tries(
    post: Post, receiver: Receiver
) -> None:
    made = await post.make(receiver.url)
    first, second = await post.fire("bad"), await post.fire("good")
    receiver.answers = [422] * 5
    for _ in range(5):
        await post.deliver()
        await post.at_once(made["id"])
    await post.deliver()
    assert receiver.subjects == [*[first] * 5, second]
    outcomes = [one["outcome"] for one in reversed(await post.deliveries(made["id"]))]
    assert outcomes == [*["failed"] * 4, "refused", "delivered"]


async def test_one_that_is_gone_or_stands_still_for_days_is_stopped(
    post: Post, receiver: Receiver
) -> None:
    made = await post.make(receiver.url)
    await post.fire("one")
    receiver.answers = [410]
    await post.deliver()
    now = await post.get(made["id"])
    assert (now["enabled"], now["stopped_why"]) == (False, "It answered 410 Gone")
    body = {"name": "hook", "kinds": ["alert.fired"]}
    await post.http.put(f"/api/v1/webhooks/{made['id']}", json=body)
    await post.deliver()
    assert len(receiver.got) == 2
    await post.fire("two")
    async with post.database.read(Scope("test", post.tenant_id)) as view:
        long_ago = view.now() - timedelta(days=4)
    await post.change(made["id"], failing_since=long_ago, failures=40)
    receiver.answers = [500]
    await post.deliver()
    assert (await post.get(made["id"]))["stopped_why"] == "It has taken nothing for 3 days"


async def test_a_secret_that_is_replaced_signs_for_a_day_more(
    post: Post, receiver: Receiver
) -> None:
    made = await post.make(receiver.url)
    rotated = (await post.http.post(f"/api/v1/webhooks/{made['id']}/rotate")).json()
    await post.fire("one")
    await post.deliver()
    headers, body = receiver.got[0]
    assert headers["webhook-signature"].split() == [
        mac(rotated["secret"], headers, body),
        mac(made["secret"], headers, body),
    ]
    assert headers["webhook-key-id"] == "2"


async def test_it_is_told_again_from_a_number_on(post: Post, receiver: Receiver) -> None:
    made = await post.make(receiver.url)
    wanted = [await post.fire(name) for name in ("one", "two")]
    await post.deliver()
    answer = await post.http.post(f"/api/v1/webhooks/{made['id']}/replay", json={"after_seq": 0})
    assert answer.status_code == 200, answer.text
    await post.deliver()
    assert receiver.subjects == wanted * 2
    ids = [json.loads(body)["id"] for _, body in receiver.got]
    assert ids[:2] == ids[2:]


async def test_nobody_is_told_what_they_may_not_read(app: App, receiver: Receiver) -> None:
    flow = Post(app, await app.caller("workflow"))
    refused = await flow.make(receiver.url, 403, kinds=["member.added"])
    assert refused["code"] == "webhooks.forbidden"
    ada, eve = [Post(app, await app.caller("owner")) for _ in range(2)]
    made = await ada.make(receiver.url)
    await eve.fire("foreign")
    await ada.deliver()
    assert receiver.got == []
    assert (await eve.http.get(f"/api/v1/webhooks/{made['id']}")).status_code == 404


async def test_deliveries_are_kept_for_a_week(post: Post, receiver: Receiver) -> None:
    made = await post.make(receiver.url)
    await post.fire("one")
    await post.deliver()
    async with post.database.transaction(SystemScope(FORGETTING)) as tx:
        assert await post.delivering.sweep(tx) == 0
    async with post.database.transaction(Scope("test", post.tenant_id)) as tx:
        row = await tx.scalar(sa.select(DeliveryRow).where(DeliveryRow.tenant_id == post.tenant_id))
        await tx.insert(
            DeliveryRow,
            [
                {
                    "tenant_id": post.tenant_id,
                    "webhook_id": made["id"],
                    "id": "01890000-0000-7000-8000-000000000000",
                    "seq": 1,
                    "event_id": row.event_id,
                    "kind": "alert.fired",
                    "subject": "alert:x",
                    "at": row.at - timedelta(days=8),
                    "outcome": "delivered",
                    "attempt": 1,
                    "status": 204,
                    "milliseconds": 1,
                    "error": None,
                }
            ],
        )
    async with post.database.transaction(SystemScope(FORGETTING)) as tx:
        assert await post.delivering.sweep(tx) == 1
    assert len(await post.deliveries(made["id"])) == 1
