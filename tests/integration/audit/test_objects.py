"""Checkpoints put into S3-compatible storage: a receiver that computes each signature itself."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from pydantic import SecretStr, ValidationError

from backend.core.audit import sequence
from backend.core.context import Scope
from backend.core.database import Database
from backend.managers.audit import AuditSettings
from backend.managers.audit._objects import object_url, sign_put
from tests.support.trail import open_audit

REGION: Final = "eu-central-1"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_TIME: Final = "%Y%m%dT%H%M%SZ"


def signature(
    method: str, path: str, headers: Mapping[str, str], names: str, region: str, secret: str
) -> str:
    """Signature Version 4 of a request to S3, from Amazon's description and nothing of ours."""
    signed = "".join(f"{name}:{headers[name].strip()}\n" for name in names.split(";"))
    body = headers["x-amz-content-sha256"]
    canonical = f"{method}\n{path}\n\n{signed}\n{names}\n{body}"
    at = headers["x-amz-date"]
    scope = f"{at[:8]}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashed}"
    return hmac.digest(key, text.encode(), "sha256").hex()


def test_the_receiver_computes_what_amazon_publishes() -> None:
    """The example "PUT Object" of "Signature Calculations for the Authorization Header"."""
    headers = {
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        "x-amz-date": "20130524T000000Z",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    made = signature("PUT", "/test%24file.text", headers, ";".join(headers), "us-east-1", SECRET)
    assert made == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"


@dataclass
class Storage:
    """Takes objects of whoever signs with its key, and refuses all others as S3 does."""

    url: str = ""
    objects: dict[str, str] = field(default_factory=dict)
    refused: int = 0

    def settings(self, **other: Any) -> AuditSettings:
        given: dict[str, Any] = {
            "checkpoint_object_url": f"{self.url}/bucket/trails/",
            "checkpoint_object_region": REGION,
            "checkpoint_object_access_key": KEY,
            "checkpoint_object_secret_key": SecretStr(SECRET),
        }
        return AuditSettings(**(given | other))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        if self._is_signed(method, path, headers, body):
            self.objects[path] = body.decode()
            status = "200 OK"
        else:
            self.refused += 1
            status = "403 Forbidden"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    @staticmethod
    def _is_signed(method: str, path: str, headers: dict[str, str], body: bytes) -> bool:
        kind, _, rest = headers.get("authorization", "").partition(" ")
        said = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        at = datetime.strptime(headers["x-amz-date"], _TIME).replace(tzinfo=UTC)
        names = said["SignedHeaders"]
        return (
            kind == "AWS4-HMAC-SHA256"
            and said["Credential"] == f"{KEY}/{at:%Y%m%d}/{REGION}/s3/aws4_request"
            and {"host", "x-amz-content-sha256", "x-amz-date"} <= set(names.split(";"))
            and headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
            and abs(datetime.now(UTC) - at) < timedelta(minutes=15)
            and said["Signature"] == signature(method, path, headers, names, REGION, SECRET)
        )


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    made = Storage()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    await server.wait_closed()


async def signed(database: Database, tenant_id: str, audit: Any) -> Any:
    async with database.transaction(Scope("user:ada", tenant_id)) as tx:
        tx.audit("thing.made", "thing:1")
    while await sequence(database):
        pass
    async with database.transaction(Scope("user:ada", tenant_id)) as tx:
        return await audit.checkpoints.sign_now(tx)


class TestObjects:
    async def test_each_checkpoint_is_an_object(
        self, database: Database, tenant_id: str, storage: Storage
    ) -> None:
        audit = open_audit(storage.settings())
        made = [await signed(database, tenant_id, audit) for _ in range(2)]
        assert await audit.publishing.publish(database) == 2
        assert await audit.publishing.publish(database) == 0
        assert storage.objects == {
            f"/bucket/trails/{tenant_id}/{one.size:019d}.checkpoint": one.note for one in made
        }
        assert storage.refused == 0

    @pytest.mark.parametrize(
        "wrong",
        [
            {"checkpoint_object_secret_key": SecretStr("A" * 40)},
            {"checkpoint_object_access_key": "AKIAANOTHER"},
            {"checkpoint_object_region": "us-west-2"},
        ],
    )
    async def test_who_is_refused_asks_again(
        self,
        database: Database,
        tenant_id: str,
        storage: Storage,
        caplog: pytest.LogCaptureFixture,
        wrong: dict[str, Any],
    ) -> None:
        audit = open_audit(storage.settings(**wrong))
        made = await signed(database, tenant_id, audit)
        assert await audit.publishing.publish(database) == 0
        assert [vars(one)["place"] for one in caplog.records if "place" in vars(one)] == ["object"]
        assert "A" * 40 not in str([vars(one) for one in caplog.records])
        assert (storage.objects, storage.refused) == ({}, 1)
        assert await open_audit(storage.settings()).publishing.publish(database) == 1
        assert list(storage.objects.values()) == [made.note]


async def test_names_are_encoded_once_and_signed_so() -> None:
    url = object_url("https://s3.example.com:9000/bucket/", "a b", "c/d$")
    assert url == "https://s3.example.com:9000/bucket/a%20b/c%2Fd%24"
    made = await sign_put(
        url,
        b"x",
        region=REGION,
        access_key=KEY,
        secret_key=SECRET,
        now=datetime(2026, 11, 27, tzinfo=UTC),
    )
    headers = {name.lower(): value for name, value in made.items()}
    said = headers["authorization"]
    names = said.partition("SignedHeaders=")[2].partition(",")[0]
    path = "/bucket/a%20b/c%2Fd%24"
    assert said.endswith(signature("PUT", path, headers, names, REGION, SECRET))
    assert headers["host"] == "s3.example.com:9000"


def test_an_address_without_a_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs an access key"):
        AuditSettings(checkpoint_object_url="https://s3.example.com/bucket")
