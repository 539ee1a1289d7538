"""Operations are counted: never more than the budget, never fewer than were done.

Many processes at once: ``tests/chaos/test_kill_hammer.py``.
"""

import asyncio
import base64
from collections import Counter
from typing import Any

import sqlalchemy as sa

from backend.core.context import Scope
from backend.managers.security import SecurityManager
from backend.managers.security._keys import MIN_BUDGET
from backend.managers.security._material import HARD_STOP
from backend.managers.security.models import KeyVersionRow
from tests.support.platform import App, TenantClient

PLAIN = base64.b64encode(b"attack at dawn").decode()


async def make(caller: TenantClient, **body: Any) -> None:
    answer = await caller.http.post("/api/v1/keys", json={"name": "orders", **body})
    assert answer.status_code == 201, answer.text


async def counted(app: App, caller: TenantClient) -> dict[int, int]:
    """The operations of each version, as the database has them."""
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        found = await tx.execute(sa.select(KeyVersionRow.number, KeyVersionRow.operations))
        return dict(found.all())


async def set_counted(app: App, caller: TenantClient, operations: int) -> None:
    async with app.platform.database.transaction(Scope("test", caller.tenant.id)) as tx:
        await tx.execute(sa.update(KeyVersionRow).values(operations=operations))
    app.platform.of(SecurityManager).use.forget_all()


async def encrypt(caller: TenantClient, times: int = 1) -> Any:
    if times == 1:
        return await caller.http.post("/api/v1/keys/orders/encrypt", json={"plaintext": PLAIN})
    items = [{"plaintext": PLAIN}] * times
    return await caller.http.post("/api/v1/keys/orders/encrypt/batch", json={"items": items})


class TestReserve:
    async def test_writes_once_for_many_operations(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        await encrypt(ada)
        block = (await counted(app, ada))[1]
        assert block == 2**16
        for _ in range(20):
            await encrypt(ada)
        assert await counted(app, ada) == {1: block}
        shown = (await ada.http.get("/api/v1/keys/orders")).json()
        assert shown["operations"] == block

    async def test_a_process_that_ends_loses_its_block_and_no_count(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, rotate_after_operations=10_000)
        for round_ in range(1, 4):
            await encrypt(ada, 10)
            assert (await counted(app, ada))[1] >= 10 * round_
            # As a kill does: what was reserved and not used is gone from memory.
            app.platform.of(SecurityManager).use.forget_all()
        assert (await counted(app, ada))[1] == 3 * (10_000 // 256)

    async def test_rotates_when_the_budget_is_used_up(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, rotate_after_operations=MIN_BUDGET)
        assert (await encrypt(ada, 999)).json()["items"][0]["result"]["version"] == 1
        assert (await encrypt(ada)).json()["version"] == 1
        assert (await encrypt(ada)).json()["version"] == 2
        found = await counted(app, ada)
        assert found[1] == MIN_BUDGET
        assert found[2] < MIN_BUDGET
        (entry,) = await ada.audit(app.platform, "key.rotated")
        assert entry.data == {"name": "orders", "version": 2, "because": "operations"}

    async def test_a_batch_that_does_not_fit_goes_to_the_next_version_whole(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, rotate_after_operations=MIN_BUDGET)
        await encrypt(ada, 600)
        made = (await encrypt(ada, 600)).json()
        assert {one["result"]["version"] for one in made["items"]} == {2}
        assert await counted(app, ada) == {1: 600, 2: 600}

    async def test_opening_and_checking_costs_nothing(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, rotate_after_operations=MIN_BUDGET)
        sealed = (await encrypt(ada)).json()["ciphertext"]
        before = await counted(app, ada)
        items = [{"ciphertext": sealed}] * 1000
        for _ in range(2):
            await ada.http.post("/api/v1/keys/orders/decrypt/batch", json={"items": items})
        assert await counted(app, ada) == before

    async def test_stops_at_two_to_the_32_where_nothing_rotates(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, rotate_after_operations=None)
        await set_counted(app, ada, HARD_STOP - 3)
        assert (await encrypt(ada, 2)).status_code == 200
        assert await counted(app, ada) == {1: HARD_STOP}
        assert (await encrypt(ada)).status_code == 200
        refused = await encrypt(ada)
        assert (refused.status_code, refused.json()["code"]) == (409, "security.key_exhausted")
        assert await counted(app, ada) == {1: HARD_STOP}
        # What is there still opens, and a rotation is the way out.
        assert (await ada.http.post("/api/v1/keys/orders/rotate")).status_code == 200
        assert (await encrypt(ada)).json()["version"] == 2

    async def test_what_has_no_nonce_has_no_hard_stop(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, type="hmac-sha256", rotate_after_operations=None)
        await set_counted(app, ada, HARD_STOP)
        answer = await ada.http.post("/api/v1/keys/orders/hmac", json={"message": PLAIN})
        assert answer.status_code == 200

    async def test_callers_who_come_at_once_share_a_block(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, rotate_after_operations=10_000)
        block = 10_000 // 256
        answers = await asyncio.gather(*(encrypt(ada) for _ in range(block)))
        assert {one.json()["version"] for one in answers} == {1}
        assert await counted(app, ada) == {1: block}
        # Those who find too little left share the next one, and wait no longer than for it.
        answers = await asyncio.gather(*(encrypt(ada, 10) for _ in range(6)))
        assert {one.json()["failed"] for one in answers} == {0}
        assert await counted(app, ada) == {1: 3 * block}

    async def test_many_at_once_in_one_process(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, rotate_after_operations=MIN_BUDGET)
        answers = await asyncio.gather(*(encrypt(ada, 30) for _ in range(60)))
        versions = Counter(
            one["result"]["version"] for answer in answers for one in answer.json()["items"]
        )
        assert sum(versions.values()) == 1800
        found = await counted(app, ada)
        for version, done in versions.items():
            assert done <= found[version] <= MIN_BUDGET
