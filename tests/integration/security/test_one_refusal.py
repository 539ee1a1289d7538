"""Whatever is wrong with what is to be opened, over HTTP there is one answer, to the byte."""

import base64
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.app import Platform, compose
from backend.core.context import Scope
from backend.managers.email.models import TemplateRow
from backend.managers.security import SecurityManager
from backend.managers.security import _format as es1
from backend.managers.security._keys import load
from backend.managers.security._material import read_signature, signature_text
from backend.managers.security.models import DataKey, KeyVersionRow
from tests.support.platform import App, TenantClient

PLAIN = base64.b64encode(b"attack at dawn").decode()
PLACE = "orders/4711"
MAX_BATCH = 1000
REFUSED = {"code": "security.seal_broken", "title": "Sealed data does not open"}
OF_A_BATCH = {"error": {**REFUSED, "detail": ""}}


async def ask(caller: TenantClient, operation: str, name: str, **body: Any) -> httpx.Response:
    return await caller.http.post(f"/api/v1/keys/{name}/{operation}", json=body)


async def make(caller: TenantClient, name: str = "orders", **body: Any) -> str:
    made = await caller.http.post("/api/v1/keys", json={"name": name, **body})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def sealed_by(caller: TenantClient, name: str = "orders", operation: str = "encrypt") -> str:
    body = {"plaintext": PLAIN} if operation == "encrypt" else {}
    answer = await ask(caller, operation, name, context=PLACE, **body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ciphertext"])


def flipped(sealed: bytes) -> Iterator[bytes]:
    """Each bit of it, one at a time."""
    for at in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[at // 8] ^= 1 << at % 8
        yield bytes(altered)


def misspelt(text: str) -> Iterator[str]:
    """Each bit of each character of a text."""
    for at, sign in enumerate(text):
        for bit in range(8):
            yield text[:at] + chr(ord(sign) ^ 1 << bit) + text[at + 1 :]


def with_version(sealed: bytes, version: int) -> bytes:
    return sealed[:36] + version.to_bytes(4, "big") + sealed[40:]


async def refusals(caller: TenantClient, name: str, texts: list[str], context: str) -> list[Any]:
    """What a batch says of each."""
    said: list[Any] = []
    for at in range(0, len(texts), MAX_BATCH):
        items = [{"ciphertext": one, "context": context} for one in texts[at : at + MAX_BATCH]]
        answer = await ask(caller, "decrypt/batch", name, items=items)
        assert answer.status_code == 200, answer.text
        assert answer.json()["failed"] == len(items)
        said += answer.json()["items"]
    return said


def told(answer: httpx.Response) -> tuple[int, dict[str, Any], dict[str, str]]:
    """All that an answer says, but for what says only which request it is the answer to."""
    body = {k: v for k, v in answer.json().items() if k not in ("request_id", "instance")}
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("date", "x-request-id", "traceparent", "content-length")
        and "ratelimit" not in name
    }
    return answer.status_code, body, headers


@pytest_asyncio.fixture
async def other(app: App) -> AsyncIterator[Platform]:
    """Another process of the installation, which no signal reaches."""
    platform = compose(app.platform.settings)
    yield platform
    await platform.database.aclose()


class TestCiphertext:
    async def test_each_bit_of_bytes_and_of_text(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        for operation in ("encrypt", "data-key"):
            text = await sealed_by(ada, operation=operation)
            altered = [es1.to_text(one) for one in flipped(es1.from_text(text))]
            altered += misspelt(text)
            said = await refusals(ada, "orders", altered, PLACE)
            wrong = {a: s for a, s in zip(altered, said, strict=True) if s != OF_A_BATCH}
            assert not wrong
            assert (await ask(ada, "decrypt", "orders", ciphertext=text, context=PLACE)).is_success

    async def test_any_swap_and_a_sample_of_bits_one_by_one(self, app: App) -> None:
        """Status, body and headers of single requests: nothing in them tells what was wrong."""
        ada, eve = await app.caller("admin"), await app.caller("admin")
        for caller in (ada, eve):
            await make(caller)
            await make(caller, "other")
        first = await sealed_by(ada)
        await ada.http.post("/api/v1/keys/orders/rotate")
        second = es1.from_text(await sealed_by(ada))
        before = es1.from_text(first)
        choose = random.Random(11)
        wrong: dict[str, tuple[str, str, str]] = {
            "context": ("orders", first, "orders/4712"),
            "no context": ("orders", first, ""),
            "key": ("other", first, PLACE),
            "theirs": ("orders", await sealed_by(eve), PLACE),
            "commitments swapped": (
                "orders",
                es1.to_text(second[:40] + before[40:72] + second[72:]),
                PLACE,
            ),
            "heads swapped": ("orders", es1.to_text(second[:84] + before[84:]), PLACE),
            "empty": ("orders", "", PLACE),
            "prefix": ("orders", "es1:", PLACE),
            "head alone": ("orders", es1.to_text(before[:84]), PLACE),
            "cut": ("orders", first[:-4], PLACE),
            "longer": ("orders", f"{first}AAAA", PLACE),
            "another's format": ("orders", "vault:v1:abc", PLACE),
            "header of a tenant that is none": (
                "orders",
                es1.to_text(before[:4] + uuid.uuid4().bytes + before[20:]),
                PLACE,
            ),
            **{
                f"version {number}": ("orders", es1.to_text(with_version(before, number)), PLACE)
                for number in (0, 2, 3, 4, 2**31 - 1, 2**31, 2**32 - 1)
            },
            **{
                f"sample {number}": ("orders", es1.to_text(altered), PLACE)
                for number, altered in enumerate(choose.sample(list(flipped(before)), 24))
            },
        }
        answers = {
            f"{operation}, {name}": told(
                await ask(ada, operation, key, ciphertext=text, context=at)
            )
            for name, (key, text, at) in wrong.items()
            for operation in ("decrypt", "rewrap")
        }
        status, body, _ = answers["decrypt, context"]
        assert (status, {name: body[name] for name in REFUSED}) == (409, REFUSED)
        differ = {k: v for k, v in answers.items() if v != answers["decrypt, context"]}
        assert not differ

    async def test_a_version_that_may_not_be_used_or_is_gone(self, app: App) -> None:
        ada = await app.caller("admin")
        key_id = await make(ada)
        texts = [await sealed_by(ada)]
        for _ in range(3):
            await ada.http.post("/api/v1/keys/orders/rotate")
            texts.append(await sealed_by(ada))
        unknown = es1.to_text(with_version(es1.from_text(texts[0]), 9))
        raised = await ada.http.put("/api/v1/keys/orders", json={"min_decrypt_version": 2})
        assert raised.is_success
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            await tx.delete_some(
                KeyVersionRow,
                KeyVersionRow.tenant_id == ada.tenant.id,
                KeyVersionRow.key_id == key_id,
                KeyVersionRow.number == 2,
                limit=1,
            )
        app.platform.of(SecurityManager).use.forget_all()
        answers = [
            told(await ask(ada, "decrypt", "orders", ciphertext=text, context=PLACE))
            for text in (unknown, texts[0], texts[1])
        ]
        assert answers == [answers[0]] * 3
        assert answers[0][1]["code"] == REFUSED["code"]
        # In company too, and what is good beside it opens.
        items = [{"ciphertext": text, "context": PLACE} for text in (*texts, unknown)]
        many = (await ask(ada, "decrypt/batch", "orders", items=items)).json()
        assert ["result" in one for one in many["items"]] == [False, False, True, True, False]
        assert all(one == OF_A_BATCH for one in many["items"] if "error" in one)

    async def test_a_version_that_another_process_has_just_made_opens(
        self, app: App, other: Platform
    ) -> None:
        """Used up there, it was replaced without a word to this process."""
        ada = await app.caller("admin")
        await make(ada)
        await make(ada, "mac", type="hmac-sha256")
        await sealed_by(ada)
        made = await ask(ada, "hmac", "mac", message=PLAIN)
        assert made.is_success
        security = other.of(SecurityManager)
        scope = Scope("test", ada.tenant.id)
        async with other.database.transaction(scope) as tx:
            for name in ("orders", "mac"):
                row = await load(tx, name, locked=True)
                await security.keys.add_version(tx, row, because="operations")
        async with other.database.read(scope) as view:
            cipher = (await security.use.load(view, "orders")).cipher()
            signer = (await security.use.load(view, "mac")).signer({"hmac-sha256"})
        assert signer is not None
        sealed = es1.to_text(cipher.encrypt(b"attack at dawn", PLACE.encode()))
        opened = await ask(ada, "decrypt", "orders", ciphertext=sealed, context=PLACE)
        assert opened.json() == {"plaintext": PLAIN, "version": 2}
        mac = signature_text(2, signer.sign(b"attack at dawn"))
        assert (await ask(ada, "verify", "mac", message=PLAIN, signature=mac)).json() == {
            "valid": True
        }


class TestSignature:
    @pytest.mark.parametrize("key_type", ["ed25519", "ecdsa-p256", "hmac-sha256"])
    async def test_each_bit_and_each_swap_is_not_valid_and_no_more(
        self, app: App, key_type: str
    ) -> None:
        ada, eve = await app.caller("admin"), await app.caller("admin")
        operation, field = ("hmac", "hmac") if key_type == "hmac-sha256" else ("sign", "signature")
        for caller, name in ((ada, "orders"), (ada, "other"), (eve, "orders")):
            await make(caller, name, type=key_type)
        text = (await ask(ada, operation, "orders", message=PLAIN)).json()[field]
        await ada.http.post("/api/v1/keys/orders/rotate")
        read = read_signature(text)
        assert read is not None
        version, bare = read
        altered = [signature_text(version, one) for one in flipped(bare)]
        altered += misspelt(text)
        altered += ["", "v1.", "nonsense", bare.hex(), f"v2.{text[3:]}", f"v3.{text[3:]}"]
        altered += [f"v4294967295.{text[3:]}", f"v9999999999.{text[3:]}", f"{text}AA", text[:-4]]
        said: list[Any] = []
        for at in range(0, len(altered), MAX_BATCH):
            items = [{"message": PLAIN, "signature": one} for one in altered[at : at + MAX_BATCH]]
            answer = await ask(ada, "verify/batch", "orders", items=items)
            assert answer.status_code == 200, answer.text
            said += answer.json()["items"]
        wrong = {
            a: s for a, s in zip(altered, said, strict=True) if s != {"result": {"valid": False}}
        }
        assert not wrong
        answers = [
            told(await ask(ada, "verify", "orders", message=PLAIN, signature=one))
            for one in altered[:: len(altered) // 20]
        ]
        answers += [
            told(await ask(ada, "verify", "orders", message=PLAIN, signature="nonsense")),
            told(await ask(ada, "verify", "orders", message="AAAA", signature=text)),
            told(await ask(ada, "verify", "other", message=PLAIN, signature=text)),
            told(await ask(eve, "verify", "orders", message=PLAIN, signature=text)),
        ]
        assert answers == [answers[0]] * len(answers)
        assert answers[0][:2] == (200, {"valid": False})
        good = await ask(ada, "verify", "orders", message=PLAIN, signature=text)
        assert good.json() == {"valid": True}


class TestAtRest:
    async def test_a_column_that_was_altered_moved_or_cut(self, app: App) -> None:
        ada, eve = await app.caller("admin"), await app.caller("admin")
        for caller, name in ((ada, "one"), (ada, "two"), (eve, "one")):
            made = await caller.http.put(
                f"/api/v1/email-templates/{name}", json={"subject": "Hello", "text": "Hello"}
            )
            assert made.is_success, made.text
        sealed: dict[tuple[str, str], bytes] = {}
        for caller in (ada, eve):
            async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
                for row in await tx.scalars(sa.select(TemplateRow)):
                    assert row.sealed_source is not None
                    sealed[caller.tenant.id, row.name] = row.sealed_source
        good = sealed[ada.tenant.id, "one"]
        choose = random.Random(5)
        wrong = [
            sealed[ada.tenant.id, "two"],
            sealed[eve.tenant.id, "one"],
            b"",
            good[:49],
            good[:-1],
            *choose.sample(list(flipped(good)), 24),
        ]
        answers = []
        for value in [good, *wrong]:
            async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
                await tx.execute(
                    sa.update(TemplateRow)
                    .where(TemplateRow.name == "one")
                    .values(sealed_source=value)
                )
            answers.append(await ada.http.get("/api/v1/email-templates/one"))
        assert answers[0].is_success
        refused = [told(one) for one in answers[1:]]
        assert refused == [refused[0]] * len(refused)
        assert (refused[0][0], refused[0][1]["code"]) == (409, REFUSED["code"])

    async def test_a_wrapped_key_that_was_altered(self, app: App) -> None:
        ada, eve = await app.caller("admin"), await app.caller("admin")
        await make(ada)
        await make(eve)
        text = await sealed_by(ada)
        security = app.platform.of(SecurityManager)
        scope = Scope("test", ada.tenant.id)
        for model, column, code in (
            (KeyVersionRow, "wrapped", "security.seal_broken"),
            (DataKey, "wrapped", "security.key_unavailable"),
        ):
            async with app.platform.database.read(scope) as tx:
                good = await tx.scalar(sa.select(getattr(model, column)))
            async with app.platform.database.read(Scope("test", eve.tenant.id)) as tx:
                theirs = await tx.scalar(sa.select(getattr(model, column)))
            answers = []
            for value in (
                theirs,
                b"",
                good[:-1],
                *random.Random(3).sample(list(flipped(good)), 12),
                good,
            ):
                async with app.platform.database.transaction(scope) as tx:
                    await tx.execute(sa.update(model).values({column: value}))
                security.forget(ada.tenant.id)
                answers.append(await ask(ada, "decrypt", "orders", ciphertext=text, context=PLACE))
            assert answers.pop().is_success
            refused = [told(one) for one in answers]
            assert refused == [refused[0]] * len(refused)
            assert refused[0][1]["code"] == code
