"""Signing keys: their overlap, their way to other processes, and what is kept of them."""

import asyncio
import base64
import json

import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import ECKey

from backend.core.context import SystemScope
from backend.managers.identity import CredentialInvalidError
from backend.managers.identity.models import SigningKey
from tests.support.errands import EVERYTHING


def count_reads(gate):
    """Counts transactions that authentication opens, by wrapping the one that opens them."""
    calls = []
    original = gate.database.read

    def read(scope):
        calls.append(scope)
        return original(scope)

    gate.database.read = read
    return calls


class TestSigningKeys:
    async def test_processes_that_begin_together_trust_each_other(self, gate):
        client, secret = await gate.client(await gate.tenant())
        other = gate.second_process()
        await asyncio.gather(gate.provider.public_keys(), other.provider.public_keys())
        token = await gate.token(client, secret)
        gate.clock.advance(2)
        assert (await other.gateway.authenticate(token)).kind == "client"

    async def test_rotation_overlaps(self, gate):
        client, secret = await gate.client(await gate.tenant())
        before = await gate.token(client, secret)
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            kid, until = await gate.identity.rotate_signing_key(tx)
        after = await gate.token(client, secret)
        assert json.loads(base64.urlsafe_b64decode(after.split(".")[0] + "=="))["kid"] == kid
        for token in (before, after):
            await gate.gateway.authenticate(token)
        assert len(json.loads(await gate.provider.public_keys())["keys"]) == 2
        gate.clock.now = until
        gate.clock.advance(61)
        assert len(json.loads(await gate.provider.public_keys())["keys"]) == 1

    async def test_are_shown_by_their_state_alone(self, gate):
        await gate.provider.public_keys()
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            (first,) = await gate.identity.list_signing_keys(tx)
        assert (first.state, first.algorithm, first.until) == ("active", "ES256", None)
        gate.clock.advance(1)
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            kid, until = await gate.identity.rotate_signing_key(tx)
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            found = await gate.identity.list_signing_keys(tx)
        assert [(key.kid, key.state, key.until) for key in found] == [
            (kid, "active", None),
            (first.kid, "retiring", until),
        ]
        gate.clock.now = until
        gate.clock.advance(1)
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            found = await gate.identity.list_signing_keys(tx)
        assert [key.kid for key in found] == [kid]

    async def test_one_signs_where_two_processes_began_together(self, gate):
        other = gate.second_process()
        await asyncio.gather(gate.provider.public_keys(), other.provider.public_keys())
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            found = await gate.identity.list_signing_keys(tx)
        assert [key.state for key in found].count("active") == 1

    async def test_another_process_learns_of_a_new_key_from_a_token(self, gate):
        client, secret = await gate.client(await gate.tenant())
        other = gate.second_process()
        await other.gateway.authenticate(await gate.token(client, secret))
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await gate.identity.rotate_signing_key(tx)
        gate.clock.advance(2)
        assert (await other.gateway.authenticate(await gate.token(client, secret))).kind == "client"

    async def test_unknown_keys_cost_one_look_a_second(self, gate):
        client, secret = await gate.client(await gate.tenant())
        header = {"alg": "ES256", "typ": "at+jwt", "kid": "made-up"}
        await gate.token(client, secret)
        gate.clock.advance(2)
        reads = count_reads(gate)
        for number in range(20):
            token = jwt.encode(
                header, {"n": number}, ECKey.generate_key("P-256"), algorithms=["ES256"]
            )
            with pytest.raises(CredentialInvalidError):
                await gate.gateway.authenticate(token)
        assert len(reads) == 1

    async def test_private_keys_are_sealed(self, gate):
        await gate.provider.public_keys()
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            row = await tx.scalar(sa.select(SigningKey))
        assert "d" not in row.public_jwk
        assert b'"d"' not in row.sealed_private_jwk


class TestSchedule:
    async def test_a_key_signs_for_thirty_days(self, gate):
        client, secret = await gate.client(await gate.tenant())
        await gate.identity.rotate_when_due(gate.database)
        assert await keys(gate) == []
        before = await gate.token(client, secret)
        gate.clock.advance(30 * 86_400 - 1)
        await gate.identity.rotate_when_due(gate.database)
        assert [row.state for row in await keys(gate)] == ["active"]
        # What was signed just before the rotation holds after it.
        late = await gate.token(client, secret)
        gate.clock.advance(1)
        for _ in range(2):
            await gate.identity.rotate_when_due(gate.database)
        assert [row.state for row in await keys(gate)] == ["retiring", "active"]
        assert (await gate.gateway.authenticate(late)).kind == "client"
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(before)
        (act,) = await gate.acts("signing_key.rotated")
        assert act.actor == "system"
        gate.clock.advance(30 * 86_400)
        await gate.identity.rotate_when_due(gate.database)
        assert [row.state for row in await keys(gate)] == ["retiring", "active"]

    async def test_of_several_processes_one_rotates(self, gate):
        await gate.provider.public_keys()
        gate.clock.advance(31 * 86_400)
        fleet = [gate, *(gate.second_process() for _ in range(3))]
        await asyncio.gather(*(one.identity.rotate_when_due(one.database) for one in fleet))
        assert [row.state for row in await keys(gate)] == ["retiring", "active"]
        assert len(await gate.acts("signing_key.rotated")) == 1


async def keys(gate):
    async with gate.database.read(SystemScope(EVERYTHING)) as tx:
        return await tx.scalars(sa.select(SigningKey).order_by(SigningKey.created_at))
