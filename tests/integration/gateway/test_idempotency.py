"""Stored replies: in the act's own commit, sealed, for one caller and one request."""

import asyncio

import pytest
import sqlalchemy as sa

from backend.core.context import Principal, Scope, SystemScope
from backend.core.errors import ForbiddenError
from backend.managers.gateway import RETENTION
from backend.managers.gateway.errands import ANSWERS
from backend.managers.gateway.models import IdempotencyRecord
from backend.managers.tenant import MEMBERS, PLATFORM

PRINT = b"f" * 32
BODY = b'{"secret":"only sealed"}'


def caller(tenant, subject="client:a", permissions=()):
    return Principal(subject, "client", tenant.id, frozenset(permissions))


async def remember(gate, principal, key="k", fingerprint=PRINT, body=BODY, scope=None, needed=()):
    async with gate.database.transaction(scope or Scope("t", principal.tenant_id)) as tx:
        return await gate.gateway.rememberer(principal, key, fingerprint)(
            tx, 201, {"location": "/x"}, body, frozenset(needed)
        )


class TestReplay:
    async def test_knows_nothing_at_first(self, gate):
        assert await gate.gateway.replay(caller(await gate.tenant()), "k") is None

    async def test_gives_the_first_answer(self, gate):
        principal = caller(await gate.tenant())
        assert await remember(gate, principal)
        stored = await gate.gateway.replay(principal, "k")
        assert (stored.status, stored.headers, stored.body) == (201, {"location": "/x"}, BODY)

    async def test_says_which_request_it_answered(self, gate):
        principal = caller(await gate.tenant())
        await remember(gate, principal)
        assert (await gate.gateway.replay(principal, "k")).fingerprint == PRINT

    async def test_keeps_callers_and_tenants_apart(self, gate):
        here, there = await gate.tenant(), await gate.tenant()
        await remember(gate, caller(here))
        assert await gate.gateway.replay(caller(here, "client:b"), "k") is None
        assert await gate.gateway.replay(caller(there), "k") is None

    async def test_forgets_after_a_day(self, gate):
        principal = caller(await gate.tenant())
        await remember(gate, principal)
        gate.clock.advance(86_400)
        assert await gate.gateway.replay(principal, "k") is None
        assert await remember(gate, principal, body=b"second")
        assert (await gate.gateway.replay(principal, "k")).body == b"second"

    async def test_finds_what_a_platform_act_stored(self, gate):
        principal = caller(await gate.tenant())
        assert await remember(gate, principal, scope=SystemScope(PLATFORM, along=ANSWERS))
        assert (await gate.gateway.replay(principal, "k")).body == BODY

    async def test_finds_what_an_act_on_members_stored(self, gate):
        principal = caller(await gate.tenant())
        scope = SystemScope(MEMBERS, tenant_id=principal.tenant_id, along=ANSWERS)
        assert await remember(gate, principal, scope=scope)
        assert (await gate.gateway.replay(principal, "k")).body == BODY

    async def test_asks_again_for_all_that_the_act_needed(self, gate):
        tenant = await gate.tenant()
        may = caller(tenant, permissions={"a:write", "b:write", "c:read"})
        await remember(gate, may, needed=("a:write", "b:write"))
        assert (await gate.gateway.replay(may, "k")).body == BODY
        for held in ({"a:write"}, {"b:write"}, {"c:read"}, set()):
            with pytest.raises(ForbiddenError) as refused:
                await gate.gateway.replay(caller(tenant, permissions=held), "k")
            assert refused.value.extra["permission"] not in held


class TestRemember:
    async def test_is_second_to_the_first(self, gate):
        principal = caller(await gate.tenant())
        assert await remember(gate, principal)
        assert not await remember(gate, principal, body=b"other")
        assert (await gate.gateway.replay(principal, "k")).body == BODY

    async def test_lets_one_of_many_win(self, gate):
        principal = caller(await gate.tenant())
        bodies = [str(number).encode() for number in range(8)]
        won = await asyncio.gather(*(remember(gate, principal, body=body) for body in bodies))
        assert sum(won) == 1
        stored = await gate.gateway.replay(principal, "k")
        assert stored.body == bodies[won.index(True)]

    async def test_is_undone_with_its_act(self, gate):
        principal = caller(await gate.tenant())

        async def act():
            async with gate.database.transaction(Scope("t", principal.tenant_id)) as tx:
                await gate.gateway.rememberer(principal, "k", PRINT)(tx, 201, {}, BODY, frozenset())
                raise RuntimeError("the act failed")

        with pytest.raises(RuntimeError):
            await act()
        assert await gate.gateway.replay(principal, "k") is None

    async def test_seals_the_body(self, gate):
        principal = caller(await gate.tenant())
        await remember(gate, principal)
        async with gate.database.read(SystemScope(RETENTION)) as tx:
            row = await tx.scalar(sa.select(IdempotencyRecord))
        assert BODY not in row.sealed_body
        assert b"only sealed" not in row.sealed_body


class TestSweep:
    async def test_deletes_what_has_expired_and_nothing_else(self, gate):
        principal = caller(await gate.tenant())
        await remember(gate, principal, key="old")
        gate.clock.advance(86_000)
        await remember(gate, principal, key="new")
        gate.clock.advance(400)
        async with gate.database.transaction(SystemScope(RETENTION)) as tx:
            assert await gate.gateway.sweep_expired(tx) == 1
        assert await gate.gateway.replay(principal, "new") is not None
