"""Sealing anew: new versions, walks that are paused and overtaken, and records of the end."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, DatabaseUnavailableError, make_engine
from backend.core.events import EventRecord, event_maker
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.signals import SignalRecord
from backend.managers.email.models import ContentRow, EmailRow, TemplateRow
from backend.managers.gateway.models import IdempotencyRecord
from backend.managers.identity.errands import ACCOUNT
from backend.managers.identity.models import TotpSecret
from backend.managers.security import (
    KEYS_DUE,
    KeyUnavailableError,
    RewrapNotFoundError,
    RewrapStateError,
    SealBrokenError,
    SecurityManager,
    SecuritySettings,
)
from backend.managers.security import _rewrap as rewrap
from backend.managers.security._pages import read_page
from backend.managers.security.models import DataKey, RewrapRow
from backend.rooms import HOUSE
from tests.support.trail import audit_row

ROOT = bytes(range(32))
SETTINGS = SecuritySettings(rewrap_rows_per_second=1e9)
BEGINS = timedelta(seconds=2 * SETTINGS.keyring_seconds)
READY = BEGINS + timedelta(seconds=SETTINGS.keyring_seconds + SETTINGS.settle_seconds)


class Hands:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 27, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest_asyncio.fixture
async def database(database_url: str, clock: Hands) -> AsyncIterator[Database]:
    made = Database(
        make_engine(database_url, pool_size=4),
        audit_row=audit_row,
        event_row=event_maker(HOUSE.events),
        clock=clock,
        durable_topics=HOUSE.durable_topics,
    )
    yield made
    await made.aclose()


def process(**more: Any) -> SecurityManager:
    """Security as another process has it."""
    made = SecurityManager(ROOT, SETTINGS.model_copy(update=more))
    made.rewraps.connect(HOUSE.sealed, HOUSE.sealed_elsewhere)
    return made


@pytest.fixture
def security() -> SecurityManager:
    return process()


def scope(tenant_id: str) -> Scope:
    return Scope("user:ada", tenant_id)


async def ring(database: Database, security: SecurityManager, tenant_id: str) -> Any:
    async with database.transaction(scope(tenant_id)) as tx:
        return await security.keyring(tx)


async def rotate(database: Database, security: SecurityManager, tenant_id: str) -> Any:
    async with database.transaction(scope(tenant_id)) as tx:
        return await security.rotate_data_key(tx)


async def add_contents(
    database: Database, security: SecurityManager, tenant_id: str, number: int, size: int = 20
) -> dict[str, bytes]:
    """So many contents; what each says, by its id."""
    said = {uuid7(): b"content %d " % index + b"x" * size for index in range(number)}
    async with database.transaction(scope(tenant_id)) as tx:
        keyring = await security.keyring(tx)
        rows = [
            {
                "tenant_id": tenant_id,
                "email_id": key,
                "sealed_content": keyring.seal(f"email.content:{key}", text),
            }
            for key, text in said.items()
        ]
        await tx.insert(ContentRow, rows)
    return said


async def read_contents(
    database: Database, security: SecurityManager, tenant_id: str
) -> dict[str, bytes]:
    async with database.read(scope(tenant_id)) as view:
        keyring = await security.keyring(view)
        rows = await view.scalars(sa.select(ContentRow))
        return {
            row.email_id: keyring.open(f"email.content:{row.email_id}", row.sealed_content)
            for row in rows
        }


async def versions(database: Database, tenant_id: str) -> list[int]:
    async with database.read(scope(tenant_id)) as view:
        return list(await view.scalars(sa.select(DataKey.version).order_by(DataKey.version)))


async def walk(database: Database, security: SecurityManager, tenant_id: str) -> Any:
    async with database.read(scope(tenant_id)) as view:
        return await security.rewraps.find(view)


async def run_out(
    database: Database, security: SecurityManager, clock: Hands, tenant_id: str
) -> Any:
    """Until the walk has ended, waiting whenever it waits."""
    for _ in range(100):
        await security.rewraps.walker.run_due(database)
        now = await walk(database, security, tenant_id)
        if now.state != "running":
            return now
        assert now.waits_until is not None
        clock.now = now.waits_until
    raise AssertionError("the walk does not end")


async def step_to_mail(database: Database, security: SecurityManager, tenant_id: str) -> None:
    """Until something is written: what is to be walked is counted first, and mail is not first."""
    for _ in range(20):
        await security.rewraps.step(database, tenant_id)
        if (await walk(database, security, tenant_id)).written:
            return
    pytest.fail("nothing was written")


class TestRotate:
    async def test_a_new_version_opens_at_once_and_seals_when_all_know_it(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        other = process()
        for each in (security, other):
            await ring(database, each, tenant_id)
        made = await rotate(database, security, tenant_id)
        assert (made.version, made.state) == (2, "pending")
        security.forget(tenant_id)
        before = (await ring(database, security, tenant_id)).seals_with
        assert before != made.id
        # The other one missed every signal, and has looked again by the time it matters.
        clock.forward(BEGINS)
        sealed = (await ring(database, security, tenant_id)).seal("place", b"plain")
        late = await ring(database, other, tenant_id)
        assert late.open("place", sealed) == b"plain"
        assert late.seals_with == made.id

    async def test_who_looked_just_before_opens_what_the_first_seals(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        await ring(database, security, tenant_id)
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS - timedelta(seconds=1))
        other = process()
        early = await ring(database, other, tenant_id)
        clock.forward(timedelta(seconds=1))
        security.forget(tenant_id)
        sealed = (await ring(database, security, tenant_id)).seal("place", b"plain")
        assert early.open("place", sealed) == b"plain"
        # Its keyring ends with the old version's time, not with its own.
        assert (await ring(database, other, tenant_id)).seals_with != early.seals_with

    async def test_asked_again_while_it_waits_it_is_the_same_one(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        made = await rotate(database, security, tenant_id)
        here = await walk(database, security, tenant_id)
        clock.forward(timedelta(seconds=1))
        assert await rotate(database, security, tenant_id) == made
        # Nor does it begin the walk anew.
        assert await walk(database, security, tenant_id) == here
        clock.forward(BEGINS)
        assert (await rotate(database, security, tenant_id)).version == 3

    async def test_several_at_once_make_one_version(
        self, database: Database, security: SecurityManager, tenant_id: str
    ) -> None:
        await ring(database, security, tenant_id)
        made = await asyncio.gather(*(rotate(database, process(), tenant_id) for _ in range(4)))
        assert {one.id for one in made} == {made[0].id}
        assert await versions(database, tenant_id) == [1, 2]

    async def test_is_audited_told_and_signalled_for_good(
        self, database: Database, security: SecurityManager, tenant_id: str
    ) -> None:
        await ring(database, security, tenant_id)
        made = await rotate(database, security, tenant_id)
        async with database.read(scope(tenant_id)) as view:
            acts = [one.action for one in await view.scalars(sa.select(AuditRecord))]
            (event,) = await view.scalars(sa.select(EventRecord))
            (signal,) = await view.scalars(sa.select(SignalRecord))
        assert sorted(acts) == ["data_key.created", "data_key.rotated", "rewrap.started"]
        assert (event.kind, event.subject) == ("data_key.rotated", f"data_key:{made.id}")
        assert event.data == {"version": 2}
        assert (signal.topic, signal.payload) == ("data_keys", tenant_id)

    async def test_versions_are_listed_with_their_states(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        async with database.read(scope(tenant_id)) as view:
            assert await security.rotation.list_versions(view) == []
        await ring(database, security, tenant_id)
        await rotate(database, security, tenant_id)

        async def states() -> list[tuple[int, str]]:
            async with database.read(scope(tenant_id)) as view:
                listed = await security.rotation.list_versions(view)
            return [(one.version, one.state) for one in listed]

        assert await states() == [(1, "current"), (2, "pending")]
        clock.forward(BEGINS)
        assert await states() == [(1, "old"), (2, "current")]


class TestRotateDue:
    async def test_replaces_by_age_and_begins_the_walk_that_is_missing(
        self, database: Database, security: SecurityManager, clock: Hands
    ) -> None:
        young, old = uuid7(), uuid7()
        await ring(database, security, old)
        clock.forward(timedelta(days=SETTINGS.rotate_days))
        await ring(database, security, young)
        for _ in range(2):
            await security.rotate_data_keys_due(database)
        assert await versions(database, old) == [1, 2]
        assert await versions(database, young) == [1]
        assert (await walk(database, security, young)).version == 1
        assert (await walk(database, security, old)).version == 2

    async def test_begins_the_first_walk_once_though_two_saw_none(
        self,
        database: Database,
        security: SecurityManager,
        tenant_id: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await ring(database, security, tenant_id)
        await process().rotate_data_keys_due(database)
        first = await walk(database, security, tenant_id)
        look = security.rewraps._load

        async def see_none(*_: Any, **__: Any) -> None:
            # As it was before the other one committed.
            monkeypatch.setattr(security.rewraps, "_load", look)

        monkeypatch.setattr(security.rewraps, "_load", see_none)
        async with database.transaction(scope(tenant_id)) as tx:
            again = await security.start_rewrap(tx)
        assert (again.id, again.state) == (first.id, "running")
        assert await walk(database, security, tenant_id) == again

    async def test_leaves_an_outage_to_the_tick(
        self, database: Database, security: SecurityManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_: object) -> Any:
            raise DatabaseUnavailableError

        monkeypatch.setattr(database, "read", away)
        for duty in (security.rotate_data_keys_due, security.rewraps.walker.run_due):
            with pytest.raises(DatabaseUnavailableError):
                await duty(database)


class TestWalk:
    async def test_seals_all_anew_then_destroys_the_old_version(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        said = await add_contents(database, security, tenant_id, 1200)
        old = (await ring(database, security, tenant_id)).seals_with
        await rotate(database, security, tenant_id)
        started = clock.now
        ended = await run_out(database, security, clock, tenant_id)
        assert (ended.state, ended.written, ended.left) == ("finished", 1200, {})
        # Not before the last writer of the old version was done, and every reader of it after.
        assert clock.now - started >= READY + timedelta(seconds=SETTINGS.keyring_seconds)
        assert await versions(database, tenant_id) == [2]
        assert await read_contents(database, process(), tenant_id) == said
        async with database.read(scope(tenant_id)) as view:
            (record,) = await security.rotation.list_retirements(view, limit=10)
        statement = json.loads(record.statement)
        assert (statement["data_key"], statement["version"], statement["left"]) == (old, 1, 0)
        public = Ed25519PublicKey.from_public_bytes(
            base64.b64decode(security.rewraps.signer.public_key)
        )
        public.verify(base64.b64decode(record.signature), record.statement.encode())
        with pytest.raises(InvalidSignature):
            public.verify(
                base64.b64decode(record.signature), record.statement.replace("0", "1").encode()
            )
        async with database.read(scope(tenant_id)) as view:
            acts = {one.action for one in await view.scalars(sa.select(AuditRecord))}
            kinds = {one.kind for one in await view.scalars(sa.select(EventRecord))}
        assert {"data_key.retired", "rewrap.finished"} <= acts
        assert {"data_key.retired", "rewrap.finished"} <= kinds

    async def test_after_another_says_nothing_is_left_when_it_has_counted(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        await add_contents(database, security, tenant_id, 3)
        await rotate(database, security, tenant_id)
        assert (await run_out(database, security, clock, tenant_id)).left == {}
        await rotate(database, security, tenant_id)
        async with database.read(scope(tenant_id)) as view:
            walk = await security.rewraps.find(view)
            keys = await security.rotation.list_versions(view)
        assert walk is not None
        assert (walk.state, walk.version, walk.left) == ("running", 3, None)
        assert [(one.version, one.left) for one in keys] == [(2, None), (3, None)]

    async def test_does_not_seal_with_what_others_do_not_know_yet(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        await add_contents(database, security, tenant_id, 3)
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS - timedelta(seconds=1))
        await security.rewraps.walker.run_due(database)
        assert (await walk(database, security, tenant_id)).written == 0
        clock.forward(timedelta(seconds=1))
        await security.rewraps.walker.run_due(database)
        assert (await walk(database, security, tenant_id)).written == 3

    async def test_finds_what_a_stale_process_wrote_behind_its_back(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        said = await add_contents(database, security, tenant_id, 5)
        stale = process()
        keyring = await ring(database, stale, tenant_id)
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS)
        await security.rewraps.walker.run_due(database)
        late = "00000000-0000-7000-8000-000000000001"  # before all that the walk has passed
        async with database.transaction(scope(tenant_id)) as tx:
            sealed = keyring.seal(f"email.content:{late}", b"late")
            row = {"tenant_id": tenant_id, "email_id": late, "sealed_content": sealed}
            await tx.insert(ContentRow, [row])
        ended = await run_out(database, security, clock, tenant_id)
        assert (ended.state, ended.written) == ("finished", 6)
        assert await read_contents(database, process(), tenant_id) == said | {late: b"late"}

    async def test_a_change_meanwhile_wins(
        self,
        database: Database,
        security: SecurityManager,
        tenant_id: str,
        clock: Hands,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        said = await add_contents(database, security, tenant_id, 2)
        first, second = said
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS)
        read = read_page

        async def read_then_change(*given: Any) -> Any:
            page = await read(*given)
            if page.found:
                monkeypatch.setattr(rewrap, "read_page", read)
                changes.append(given)
            return page

        changes: list[Any] = []
        monkeypatch.setattr(rewrap, "read_page", read_then_change)
        step = asyncio.to_thread

        async def change_between(*given: Any) -> Any:
            done = await step(*given)
            if changes:
                changes.clear()
                other = process()
                async with database.transaction(scope(tenant_id)) as tx:
                    keyring = await other.keyring(tx)
                    await tx.execute(
                        sa.update(ContentRow)
                        .where(ContentRow.email_id == first)
                        .values(sealed_content=keyring.seal(f"email.content:{first}", b"newer"))
                    )
                    await tx.execute(sa.delete(ContentRow).where(ContentRow.email_id == second))
            return done

        monkeypatch.setattr(asyncio, "to_thread", change_between)
        ended = await run_out(database, security, clock, tenant_id)
        assert (ended.state, ended.written) == ("finished", 0)
        assert await read_contents(database, process(), tenant_id) == {first: b"newer"}

    async def test_goes_in_bites_of_bounded_bytes(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        said = await add_contents(database, security, tenant_id, 5, size=3 * 2**20)
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS)
        await step_to_mail(database, security, tenant_id)
        steps = []
        for _ in range(6):
            steps.append((await walk(database, security, tenant_id)).written)
            await security.rewraps.step(database, tenant_id)
        assert steps == [1, 2, 3, 4, 5, 5]
        assert (await run_out(database, security, clock, tenant_id)).state == "finished"
        assert await read_contents(database, process(), tenant_id) == said

    async def test_seals_what_stood_in_the_clear(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        email_id = uuid7()
        now = clock()
        async with database.transaction(scope(tenant_id)) as tx:
            await tx.insert(
                EmailRow,
                [
                    {
                        "tenant_id": tenant_id,
                        "id": email_id,
                        "message_id": "<1@x.test>",
                        "state": "accepted",
                        "subject": "Grüße in the clear",
                        "sender": "a@x.test",
                        "size_bytes": 1,
                        "job_id": uuid7(),
                        "attempts": 1,
                        "created_by": "user:ada",
                        "created_at": now,
                        "updated_at": now,
                        "tries_from": now,
                    }
                ],
            )
            await tx.insert(
                TemplateRow,
                [
                    {
                        "tenant_id": tenant_id,
                        "name": "old",
                        "subject": "Hello {{ name }}",
                        "text": "Clear text",
                        "html": None,
                        "updated_at": now,
                    }
                ],
            )
            await security.start_rewrap(tx)
        ended = await run_out(database, security, clock, tenant_id)
        assert (ended.state, ended.written, ended.left) == ("finished", 2, {})
        async with database.read(scope(tenant_id)) as view:
            keyring = await security.keyring(view)
            email = await view.scalar(sa.select(EmailRow))
            template = await view.scalar(sa.select(TemplateRow))
        assert email.subject == ""
        opened = keyring.open(f"email.subject:{email_id}", email.sealed_subject)
        assert opened.decode() == "Grüße in the clear"
        assert (template.subject, template.text, template.html) == ("", None, None)
        assert template.characters == len("Hello {{ name }}") + len("Clear text")
        opened = keyring.open(f"email.template:{tenant_id}:old", template.sealed_source)
        assert json.loads(opened) == ["Hello {{ name }}", "Clear text", None]

    async def test_of_the_platform_reaches_what_belongs_to_no_tenant(
        self, database: Database, security: SecurityManager, clock: Hands
    ) -> None:
        tenant_id, user_id = uuid7(), uuid7()
        answer = {
            "tenant_id": tenant_id,
            "client": "user:ada",
            "fingerprint": b"f",
            "status": 200,
            "headers": {},
            "created_at": clock(),
            "expires_at": clock() + timedelta(days=1),
        }
        theirs = await ring(database, security, tenant_id)
        async with database.transaction(SystemScope(ACCOUNT)) as tx:
            platform = await security.keyring(tx)
            secret = platform.seal(f"totp_secret:{user_id}", b"secret")
            row = {"user_id": user_id, "sealed_secret": secret, "last_step": 0}
            await tx.insert(TotpSecret, [row | {"created_at": clock()}])
        async with database.transaction(scope(tenant_id)) as tx:
            rows = [
                answer
                | {
                    "key": key,
                    "sealed_by": by,
                    "sealed_body": keyring.seal(f"idempotency:user:ada:{key}", b"body"),
                }
                for key, by, keyring in (
                    ("a", PLATFORM_TENANT, platform),
                    ("b", tenant_id, theirs),
                )
            ]
            await tx.insert(IdempotencyRecord, rows)
        for each in (PLATFORM_TENANT, tenant_id):
            await rotate(database, security, each)
        ended = await run_out(database, security, clock, PLATFORM_TENANT)
        # Not the platform's answer among the tenant's: it is gone long before its version is.
        assert (ended.state, ended.written) == ("finished", 1)
        assert (await run_out(database, security, clock, tenant_id)).written == 1
        async with database.read(SystemScope(ACCOUNT)) as view:
            row = await view.scalar(sa.select(TotpSecret))
            fresh = await process().keyring(view)
        assert row.sealed_secret != secret
        assert fresh.open(f"totp_secret:{user_id}", row.sealed_secret) == b"secret"
        async with database.read(scope(tenant_id)) as view:
            bodies = {one.key: one for one in await view.scalars(sa.select(IdempotencyRecord))}
            own = await process().keyring(view)
        assert own.open("idempotency:user:ada:b", bodies["b"].sealed_body) == b"body"
        assert fresh.open("idempotency:user:ada:a", bodies["a"].sealed_body) == b"body"
        # Cookies of known browsers are under the platform's first version for a year.
        assert await versions(database, PLATFORM_TENANT) == [1, 2]
        assert await versions(database, tenant_id) == [2]
        clock.forward(timedelta(days=364))
        fewer = process(rotate_days=1000)
        await fewer.rotate_data_keys_due(database)
        assert (await walk(database, fewer, PLATFORM_TENANT)).id == ended.id
        clock.forward(timedelta(days=2))
        await fewer.rotate_data_keys_due(database)
        assert (await run_out(database, security, clock, PLATFORM_TENANT)).state == "finished"
        assert await versions(database, PLATFORM_TENANT) == [2]

    async def test_what_does_not_open_keeps_the_old_version_and_is_told(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        await add_contents(database, security, tenant_id, 3)
        keyring = await ring(database, security, tenant_id)
        moved, foreign = uuid7(), uuid7()
        strange = await ring(database, SecurityManager(ROOT), uuid7())
        async with database.transaction(scope(tenant_id)) as tx:
            for key, sealed in (
                (moved, keyring.seal("email.content:elsewhere", b"moved")),
                (foreign, strange.seal(f"email.content:{foreign}", b"foreign")),
                (uuid7(), b"no envelope"),
            ):
                row = {"tenant_id": tenant_id, "email_id": key, "sealed_content": sealed}
                await tx.insert(ContentRow, [row])
        await rotate(database, security, tenant_id)
        ended = await run_out(database, security, clock, tenant_id)
        assert (ended.state, ended.written, ended.broken) == ("blocked", 3, 3)
        assert ended.left == {"1": 1}
        assert await versions(database, tenant_id) == [1, 2]
        async with database.read(scope(tenant_id)) as view:
            kinds = [one.kind for one in await view.scalars(sa.select(EventRecord))]
            (old, _) = await security.rotation.list_versions(view)
        assert "rewrap.blocked" in kinds
        assert old.left == 1
        async with database.read(SystemScope(KEYS_DUE)) as view:
            assert await security.rewraps.count_left(view) == {"in_clear": 0, "old_version": 1}

    async def test_is_paused_resumed_and_cancelled(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        rewraps = security.rewraps
        assert await walk(database, security, tenant_id) is None
        await add_contents(database, security, tenant_id, 600)
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS)
        await step_to_mail(database, security, tenant_id)
        here = (await walk(database, security, tenant_id)).id
        async with database.transaction(scope(tenant_id)) as tx:
            for act in (rewraps.pause, rewraps.resume, rewraps.cancel, rewraps.get):
                with pytest.raises(RewrapNotFoundError):
                    await act(tx, uuid7())
            with pytest.raises(RewrapStateError):
                await rewraps.resume(tx, here)
            paused = await rewraps.pause(tx, here)
            assert await rewraps.get(tx, here) == paused
        assert (paused.state, paused.written, paused.total) == ("paused", 200, 600)
        assert paused.column == "email_contents.sealed_content"
        await rewraps.walker.run_due(database)
        assert await rewraps.step(database, tenant_id) == 0
        assert (await walk(database, security, tenant_id)).written == 200
        # A rotation meanwhile does not set it going.
        await rotate(database, security, tenant_id)
        assert (await walk(database, security, tenant_id)).state == "paused"
        clock.forward(BEGINS)
        async with database.transaction(scope(tenant_id)) as tx:
            assert (await rewraps.resume(tx, here)).version == 3
        await rewraps.walker.run_due(database)
        assert (await walk(database, security, tenant_id)).written == 800
        async with database.transaction(scope(tenant_id)) as tx:
            assert (await rewraps.cancel(tx, here)).state == "cancelled"
            with pytest.raises(RewrapStateError):
                await rewraps.pause(tx, here)
        clock.forward(READY)
        await rewraps.walker.run_due(database)
        assert await versions(database, tenant_id) == [1, 2, 3]
        async with database.transaction(scope(tenant_id)) as tx:
            again = await security.start_rewrap(tx)
        assert (again.state, again.written) == ("running", 0)
        assert (await run_out(database, security, clock, tenant_id)).state == "finished"
        assert await versions(database, tenant_id) == [3]

    async def test_two_workers_at_once_do_it_once(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        said = await add_contents(database, security, tenant_id, 900)
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS)
        workers = [process() for _ in range(3)]
        for _ in range(10):
            await asyncio.gather(*(one.rewraps.step(database, tenant_id) for one in workers))
        assert (await walk(database, security, tenant_id)).written == 900
        assert await read_contents(database, process(), tenant_id) == said

    async def test_one_worker_holds_the_lease(
        self, database: Database, security: SecurityManager, tenant_id: str
    ) -> None:
        await add_contents(database, security, tenant_id, 1)
        async with database.transaction(scope(tenant_id)) as tx:
            await security.start_rewrap(tx)
        assert await security.rewraps.walker.has_turn(database)
        assert not await process().rewraps.walker.has_turn(database)
        assert await security.rewraps.walker.has_turn(database)

    async def test_ends_when_the_tenants_keys_are_gone(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        await add_contents(database, security, tenant_id, 1)
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS)
        async with database.transaction(scope(tenant_id)) as tx:
            assert await security.purge_keys(tx) == 2
        await security.rewraps.walker.run_due(database)
        assert (await walk(database, security, tenant_id)).state == "cancelled"

    async def test_one_tenants_failure_is_no_others(
        self,
        database: Database,
        security: SecurityManager,
        clock: Hands,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        good, bad, worse = uuid7(), uuid7(), uuid7()
        for each in (good, bad, worse):
            await add_contents(database, security, each, 1)
            await rotate(database, security, each)
        clock.forward(BEGINS)
        step, failed = security.rewraps.step, []

        async def fail_for_two(database: Database, tenant_id: str) -> int:
            if tenant_id in {bad, worse} and tenant_id not in failed:
                failed.append(tenant_id)
                raise KeyUnavailableError if tenant_id == bad else ZeroDivisionError
            return await step(database, tenant_id)

        monkeypatch.setattr(security.rewraps, "step", fail_for_two)
        await security.rewraps.walker.run_due(database)
        assert (await walk(database, security, good)).written == 1
        assert len(failed) == 2
        assert [r.message for r in caplog.records].count("walk_step_failed") == 2
        # They have another turn, and not at once.
        for each in (bad, worse):
            assert (await walk(database, security, each)).waits_until is not None
        clock.forward(timedelta(seconds=30))
        await security.rewraps.walker.run_due(database)
        for each in (bad, worse):
            assert (await walk(database, security, each)).written == 1

    async def test_any_number_that_fails_keeps_nobody_from_a_turn(
        self,
        database: Database,
        security: SecurityManager,
        clock: Hands,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Walks of sealed tenants fail for as long as somebody leaves them sealed."""
        monkeypatch.setattr(rewrap, "_WALKS_AT_ONCE", 2)
        sealed, good = [uuid7() for _ in range(3)], uuid7()
        for each in (*sealed, good):
            await add_contents(database, security, each, 1)
            await rotate(database, security, each)
            clock.forward(timedelta(seconds=1))
        for each in sealed:
            async with database.transaction(scope(each)) as tx:
                await security.seals.put(tx, "a key was published")
        clock.forward(BEGINS)
        for _ in range(3):
            await security.rewraps.walker.run_due(database)
        assert (await walk(database, security, good)).written == 1
        for each in sealed:
            async with database.transaction(scope(each)) as tx:
                await security.seals.lift(tx)
        clock.forward(timedelta(seconds=30))
        for each in sealed:
            assert (await run_out(database, security, clock, each)).state == "finished"


class TestReads:
    async def test_none_fails_before_during_or_after(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        """Processes that look at each moment, one of which hears no signal."""
        said = await add_contents(database, security, tenant_id, 40)
        readers = [process() for _ in range(3)]
        for each in readers:
            await read_contents(database, each, tenant_id)
        await rotate(database, security, tenant_id)
        ended = False
        for _ in range(400):
            await security.rewraps.step(database, tenant_id)
            writer = readers[0]
            for key in list(said)[:2]:
                async with database.transaction(scope(tenant_id)) as tx:
                    keyring = await writer.keyring(tx)
                    sealed = keyring.seal(f"email.content:{key}", said[key])
                    await tx.execute(
                        sa.update(ContentRow)
                        .where(ContentRow.email_id == key)
                        .values(sealed_content=sealed)
                    )
            for each in readers:
                assert await read_contents(database, each, tenant_id) == said
            now = await walk(database, security, tenant_id)
            ended = now.state == "finished"
            if ended:
                break
            clock.forward(timedelta(seconds=1.5))
        assert ended
        for each in readers:
            assert await read_contents(database, each, tenant_id) == said
        with pytest.raises(SealBrokenError):
            (await ring(database, security, tenant_id)).open("x", b"no envelope")

    async def test_the_row_of_a_walk_says_nothing_secret(
        self, database: Database, security: SecurityManager, tenant_id: str, clock: Hands
    ) -> None:
        said = await add_contents(database, security, tenant_id, 600)
        await rotate(database, security, tenant_id)
        clock.forward(BEGINS)
        await step_to_mail(database, security, tenant_id)
        async with database.read(scope(tenant_id)) as view:
            row = await view.scalar(sa.select(RewrapRow))
        assert row.after == [sorted(said)[199]]
        assert row.counting == {}


async def test_a_tenant_whose_keys_do_not_open_holds_up_no_other(
    database: Database, security: SecurityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = sorted([uuid7(), uuid7()])
    for tenant_id in tenants:
        await ring(database, security, tenant_id)
    real = security.start_rewrap

    async def start(tx: Any) -> Any:
        if tx.tenant_id == tenants[0]:
            raise KeyUnavailableError
        return await real(tx)

    monkeypatch.setattr(security, "start_rewrap", start)
    await security.rotate_data_keys_due(database)
    for tenant_id, begun in zip(tenants, (0, 1), strict=True):
        async with database.read(scope(tenant_id)) as view:
            assert len(await view.scalars(sa.select(RewrapRow))) == begun
