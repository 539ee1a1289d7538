"""Who a credential is: tokens and keys, what ends them, and what the caches may not outlive."""

import asyncio
import base64
import hashlib
import json

import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from backend.core.context import Scope, SystemScope
from backend.core.signal_log import SignalLog
from backend.managers.gateway.models import ApiKey
from backend.managers.identity import CredentialBounds, CredentialInvalidError
from backend.managers.identity.models import OauthClient, SigningKey
from backend.managers.tenant import TenantSuspendedError
from backend.managers.tenant.models import TenantRow
from backend.rooms import HOUSE
from tests.support.errands import EVERYTHING
from tests.support.roles import ROLES


async def api_key(gate, tenant, role="viewer", expires_at=None):
    async with gate.database.transaction(Scope("user:x", tenant.id)) as tx:
        return await gate.gateway.api_keys.create_api_key(
            tx, name="k", role=role, granter=None, bounds=CredentialBounds(expires_at=expires_at)
        )


def count_reads(gate):
    """Counts transactions that authentication opens, by wrapping the one that opens them."""
    calls = []
    original = gate.database.read

    def read(scope):
        calls.append(scope)
        return original(scope)

    gate.database.read = read
    return calls


class TestClientToken:
    async def test_stands_for_the_client_in_its_tenant(self, gate):
        tenant = await gate.tenant()
        client, secret = await gate.client(tenant)
        principal = await gate.gateway.authenticate(await gate.token(client, secret))
        assert principal.subject == f"client:{client.client_id}"
        assert (principal.kind, principal.tenant_id) == ("client", tenant.id)
        assert principal.permissions == ROLES.by_name["workflow"]

    async def test_is_answered_from_memory_the_second_time(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        assert gate.gateway.cached_principal(token) is None
        principal = await gate.gateway.authenticate(token)
        reads = count_reads(gate)
        assert gate.gateway.cached_principal(token) is principal
        assert await gate.gateway.authenticate(token) is principal
        assert reads == []

    async def test_narrowed_by_its_scope(self, gate):
        client, secret = await gate.client(await gate.tenant(), role="admin")
        token = await gate.token(client, secret, scope="email:read job:read")
        principal = await gate.gateway.authenticate(token)
        assert principal.permissions == {"email:read", "job:read"}

    async def test_expires(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        gate.clock.advance(599)
        await gate.gateway.authenticate(token)
        gate.clock.advance(1)
        assert gate.gateway.cached_principal(token) is None
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(token)

    @pytest.mark.parametrize("end", ["deleted", "disabled", "suspended"])
    async def test_ends_with_its_client_or_tenant(self, gate, end):
        tenant = await gate.tenant()
        client, secret = await gate.client(tenant)
        token = await gate.token(client, secret)
        await gate.gateway.authenticate(token)
        scope = Scope("t", tenant.id) if end == "deleted" else SystemScope(EVERYTHING)
        async with gate.database.transaction(scope) as tx:
            if end == "deleted":
                await gate.identity.clients.delete_client(tx, client.id, remover=None)
            elif end == "disabled":
                await tx.execute(sa.update(OauthClient).values(disabled=True))
            else:
                await tx.execute(sa.update(TenantRow).values(state="suspended", reason="unpaid"))
            tx.signal("principals")
        assert gate.gateway.cached_principal(token) is None
        refusal = TenantSuspendedError if end == "suspended" else CredentialInvalidError
        for _ in range(2):  # the second from memory
            with pytest.raises(refusal) as told:
                await gate.gateway.authenticate(token)
            if end == "suspended":
                assert told.value.detail == "unpaid"

    async def test_notices_a_change_without_a_signal_within_a_minute(self, gate):
        tenant = await gate.tenant()
        client, secret = await gate.client(tenant)
        token = await gate.token(client, secret)
        other = gate.second_process().gateway
        await other.authenticate(token)
        async with gate.database.transaction(Scope("t", tenant.id)) as tx:
            await gate.identity.clients.delete_client(tx, client.id, remover=None)
        assert other.cached_principal(token) is not None
        gate.clock.advance(60)
        with pytest.raises(CredentialInvalidError):
            await other.authenticate(token)

    async def test_notices_a_change_without_a_signal_by_its_record(self, gate):
        tenant = await gate.tenant()
        client, secret = await gate.client(tenant)
        token = await gate.token(client, secret)
        other = gate.second_process()
        log = SignalLog(other.database, HOUSE.durable_topics)
        await other.gateway.authenticate(token)
        async with gate.database.transaction(Scope("t", tenant.id)) as tx:
            await gate.identity.clients.delete_client(tx, client.id, remover=None)
        assert other.gateway.cached_principal(token) is not None
        await log.look()
        assert other.gateway.cached_principal(token) is None
        with pytest.raises(CredentialInvalidError):
            await other.gateway.authenticate(token)

    async def test_loses_what_the_role_loses_and_does_not_gain(self, gate):
        client, secret = await gate.client(await gate.tenant(), role="viewer")
        token = await gate.token(client, secret)
        async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(OauthClient).values(role="workflow"))
            tx.signal("principals")
        principal = await gate.gateway.authenticate(token)
        assert principal.permissions == ROLES.by_name["viewer"] & ROLES.by_name["workflow"]

    async def test_asks_once_for_many_at_a_time(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        reads = count_reads(gate)
        found = await asyncio.gather(*(gate.gateway.authenticate(token) for _ in range(50)))
        assert len({id(principal) for principal in found}) == 1
        assert len(reads) == 1

    async def test_survives_the_request_that_asked_first(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        first = asyncio.create_task(gate.gateway.authenticate(token))
        second = asyncio.create_task(gate.gateway.authenticate(token))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).kind == "client"

    async def test_is_not_kept_when_rights_change_while_it_is_looked_up(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        original = gate.database.read

        def read(scope):
            gate.database.signals.publish("principals")
            return original(scope)

        gate.database.read = read
        await gate.gateway.authenticate(token)
        assert gate.gateway.cached_principal(token) is None

    async def test_who_asks_after_a_change_waits_for_no_answer_from_before(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        reads = count_reads(gate)
        before = asyncio.create_task(gate.gateway.authenticate(token))
        await asyncio.sleep(0)
        gate.database.signals.publish("principals")
        after = asyncio.create_task(gate.gateway.authenticate(token))
        await asyncio.gather(before, after)
        assert len(reads) == 2


class TestChange:
    """What a change ends, and what it leaves."""

    @pytest.fixture
    async def known(self, gate):
        """A client and a key of one tenant, a client of another, and a person: all known."""
        ours, theirs = await gate.tenant(), await gate.tenant()
        (one, one_secret), (two, two_secret) = await gate.client(ours), await gate.client(theirs)
        made, key = await api_key(gate, ours)
        credentials = {
            "one": await gate.token(one, one_secret),
            "two": await gate.token(two, two_secret),
            "key": key,
        }
        for credential in credentials.values():
            await gate.gateway.authenticate(credential)
        return credentials, {
            "": set(),
            f"client:{one.client_id}": {"two", "key"},
            f"client:{two.client_id}": {"one", "key"},
            f"api_key:{made.id}": {"one", "two"},
            f"tenant:{ours.id}": {"two"},
            f"tenant:{theirs.id}": {"one", "key"},
            "user:0199c0de-0000-7000-8000-000000000001": {"one", "two", "key"},
            "client:nobody": {"one", "two", "key"},
            # Nobody knows what this is about, so it is about everybody.
            "nonsense": set(),
            "group:7": set(),
        }

    async def test_ends_what_it_concerns_and_nothing_else(self, gate, known):
        credentials, left = known
        for about, wanted in left.items():
            for credential in credentials.values():
                await gate.gateway.authenticate(credential)
            gate.database.signals.publish("principals", about)
            found = {n for n, c in credentials.items() if gate.gateway.cached_principal(c)}
            assert found == wanted, about

    async def test_of_somebody_else_is_no_reason_to_ask_again(self, gate, known):
        credentials, _ = known
        reads = count_reads(gate)
        for number in range(50):
            gate.database.signals.publish("principals", f"client:{number}")
            for credential in credentials.values():
                await gate.gateway.authenticate(credential)
        assert reads == []

    async def test_beyond_what_can_be_remembered_is_everybodys(self, gate, known):
        credentials, _ = known
        cache = gate.gateway._cache
        cache._entries = 10
        for number in range(11):
            gate.database.signals.publish("principals", f"client:{number}")
        assert not any(map(gate.gateway.cached_principal, credentials.values()))
        assert len(cache._changed) <= 10

    async def test_makes_a_refused_token_good_again_at_once(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)

        async def set_disabled(value):
            async with gate.database.transaction(SystemScope(EVERYTHING)) as tx:
                await tx.execute(
                    sa.update(OauthClient).where(OauthClient.id == client.id).values(disabled=value)
                )
                tx.signal("principals", f"client:{client.client_id}")

        await set_disabled(True)
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(token)
        reads = count_reads(gate)
        gate.database.signals.publish("principals", "client:another")
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(token)
        assert reads == []
        await set_disabled(False)
        assert (await gate.gateway.authenticate(token)).kind == "client"

    async def test_of_somebody_else_meanwhile_leaves_the_answer(self, gate):
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        original = gate.database.read

        def read(scope):
            gate.database.signals.publish("principals", "client:another")
            return original(scope)

        gate.database.read = read
        await gate.gateway.authenticate(token)
        assert gate.gateway.cached_principal(token) is not None

    async def test_of_the_signing_keys_leaves_no_signature_that_was_on_its_way(self, gate):
        """Verified with the keys from before, kept after they were forgotten."""
        client, secret = await gate.client(await gate.tenant())
        token = await gate.token(client, secret)
        original = gate.database.read

        def read(scope):
            gate.database.read = original
            gate.database.signals.publish("signing_keys")
            return original(scope)

        await gate.identity._keys.current()
        gate.database.read = read
        await gate.gateway.authenticate(token)
        digest = hashlib.sha256(token.encode()).digest()
        assert gate.gateway._cache.find_claims(digest) is None


class TestForgery:
    @pytest.fixture
    async def token(self, gate):
        client, secret = await gate.client(await gate.tenant())
        return await gate.token(client, secret)

    @staticmethod
    def parts(token):
        def read(part):
            return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

        header, claims, _ = token.split(".")
        return read(header), read(claims)

    async def refused(self, gate, token):
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(token)

    async def test_refuses_no_algorithm(self, gate, token):
        header, claims = self.parts(token)
        forged = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({**header, "alg": "none"}, claims)
        ]
        await self.refused(gate, ".".join([*forged, ""]))

    async def test_refuses_the_public_key_as_a_secret(self, gate, token):
        header, claims = self.parts(token)
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            public = await tx.scalar(sa.select(SigningKey.public_jwk))
        key = OctKey.import_key(json.dumps(public))
        await self.refused(gate, jwt.encode({**header, "alg": "HS256"}, claims, key))

    async def test_refuses_another_key_under_our_key_id(self, gate, token):
        header, claims = self.parts(token)
        key = ECKey.generate_key("P-256")
        await self.refused(gate, jwt.encode(header, claims, key, algorithms=["ES256"]))

    async def test_refuses_changed_claims(self, gate, token):
        header, _, signature = token.split(".")
        _, claims = self.parts(token)
        claims["tenant"] = "00000000-0000-7000-8000-000000000001"
        changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        await self.refused(gate, f"{header}.{changed}.{signature}")

    @pytest.mark.parametrize(
        "change",
        [
            {"iss": "https://elsewhere.example"},
            {"aud": "another-api"},
            {"aud": None},
            {"exp": None},
            {"exp": "tomorrow"},
            {"iat": 99999999999},
            {"sub": "root"},
            {"sub": None},
            {"tenant": None},
            {"jti": None},
            {"client_id": "nobody"},
        ],
        ids=str,
    )
    async def test_refuses_claims_that_do_not_fit(self, gate, token, change):
        _, claims = self.parts(token)
        changed = {name: value for name, value in (claims | change).items() if value is not None}
        keys = await gate.identity._keys.current()
        assert await gate.gateway.authenticate(keys.sign_access(claims))
        await self.refused(gate, keys.sign_access(changed))

    async def test_refuses_an_id_token_as_access_token(self, gate, token):
        _, claims = self.parts(token)
        keys = await gate.identity._keys.current()
        await self.refused(gate, keys.sign_id(claims))

    async def test_refuses_a_client_of_one_tenant_in_another(self, gate, token):
        other = await gate.tenant()
        _, claims = self.parts(token)
        keys = await gate.identity._keys.current()
        await self.refused(gate, keys.sign_access(claims | {"tenant": other.id}))

    @pytest.mark.parametrize(
        "garbage", ["", "x", "a.b.c", "....", "x" * 5000, "ä.ö.ü", "es_", "\n"]
    )
    async def test_refuses_garbage(self, gate, garbage):
        await self.refused(gate, garbage)

    async def test_verifies_the_same_bad_token_once(self, gate, token, monkeypatch):
        verified = []
        decode = jwt.decode

        def counted(*args, **options):
            verified.append(args)
            return decode(*args, **options)

        monkeypatch.setattr("backend.managers.identity._tokens.jwt.decode", counted)
        bad = token[:-8] + "AAAAAAAA"
        for _ in range(20):
            await self.refused(gate, bad)
        assert len(verified) == 1
        gate.clock.advance(11)
        await self.refused(gate, bad)
        assert len(verified) == 2


class TestApiKey:
    async def test_stands_for_itself(self, gate):
        tenant = await gate.tenant()
        made, key = await api_key(gate, tenant)
        principal = await gate.gateway.authenticate(key)
        assert principal.subject == f"api_key:{made.id}"
        assert (principal.kind, principal.tenant_id) == ("api_key", tenant.id)
        assert principal.permissions == ROLES.by_name["viewer"]

    async def test_costs_no_database_when_the_checksum_is_wrong(self, gate):
        _, key = await api_key(gate, await gate.tenant())
        reads = count_reads(gate)
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(key[:-1] + ("A" if key[-1] != "A" else "B"))
        assert reads == []

    async def test_expires(self, gate):
        made, key = await api_key(
            gate, await gate.tenant(), expires_at=gate.clock.now.replace(minute=1)
        )
        assert made.expires_at is not None
        assert (await gate.gateway.authenticate(key)).expires_at == made.expires_at.timestamp()
        gate.clock.advance(60)
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(key)

    async def test_ends_at_once_when_revoked(self, gate):
        tenant = await gate.tenant()
        made, key = await api_key(gate, tenant)
        await gate.gateway.authenticate(key)
        async with gate.database.transaction(Scope("t", tenant.id)) as tx:
            await gate.gateway.api_keys.revoke_api_key(tx, made.id, remover=None)
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate(key)

    async def test_is_not_in_the_database(self, gate):
        _, key = await api_key(gate, await gate.tenant())
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            row = await tx.scalar(sa.select(ApiKey))
        stored = repr(vars(row))
        assert key not in stored
        assert key[12:40] not in stored


def ask(gate, principal, route_class, cost=1):
    """A request that is admitted or not, and over at once."""
    verdict = gate.gateway.quota(principal, route_class, cost)
    if verdict.slot is not None:
        verdict.slot.release(verdict.slot)
    return verdict


class TestLimits:
    async def test_a_known_caller_has_tenant_client_and_class(self, gate):
        client, secret = await gate.client(await gate.tenant())
        principal = await gate.gateway.authenticate(await gate.token(client, secret))
        verdict = ask(gate, principal, "jobs")
        assert verdict.allowed
        assert [part.split(b";")[0] for part in verdict.policy.split(b", ")] == [
            b'"tenant"',
            b'"client"',
            b'"other"',
            b'"tenant_bytes"',
            b'"tenant_concurrency"',
        ]
        allowed = sum(ask(gate, principal, "jobs").allowed for _ in range(600))
        assert allowed == gate.gateway._settings.other_burst_requests - 1
        assert ask(gate, principal, "emails").allowed

    async def test_a_request_may_cost_more_than_one_and_no_more_than_can_be_had(self, gate):
        client, secret = await gate.client(await gate.tenant())
        principal = await gate.gateway.authenticate(await gate.token(client, secret))
        burst = gate.gateway._settings.other_burst_requests
        first = ask(gate, principal, "jobs", 1)
        assert ask(gate, principal, "jobs", 10).remaining <= first.remaining - 10
        assert not ask(gate, principal, "jobs", burst).allowed
        other, secret = await gate.client(await gate.tenant())
        principal = await gate.gateway.authenticate(await gate.token(other, secret))
        assert ask(gate, principal, "jobs", 100 * burst).allowed
        assert not ask(gate, principal, "jobs", 1).allowed

    def test_one_network_is_one_address(self, gate):
        for number in range(200):
            assert gate.gateway.coarse_limit(f"2001:db8:1:2::{number:x}").allowed
        assert not gate.gateway.coarse_limit("2001:db8:1:2:ffff::1").allowed
        assert gate.gateway.coarse_limit("2001:db8:1:3::1").allowed
        assert gate.gateway.coarse_limit("192.0.2.1").allowed


class TestObserve:
    async def test_writes_when_a_key_was_used(self, gate):
        tenant = await gate.tenant()
        made, _ = await api_key(gate, tenant)

        class Record:
            actor, status, path = f"api_key:{made.id}", 200, "/api/v1/me"
            tenant_id = tenant.id
            started_ns = int(gate.clock.now.timestamp() * 1e9)

        gate.gateway.observe([Record()])
        await gate.gateway.flush(gate.database)
        async with gate.database.read(Scope("t", tenant.id)) as tx:
            (key,) = await gate.gateway.api_keys.list_api_keys(tx, limit=5)
        assert key.last_used_at == gate.clock.now
