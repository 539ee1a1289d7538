"""What the documents say of webhooks is what is sent."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from backend.cli.document import asyncapi_document
from backend.rooms import HOUSE
from tests.support.webhooks import Post, Receiver, documented_verifier

DOCS = Path(__file__).parents[3] / "docs"


async def test_the_documents_verifier_takes_what_is_sent_and_nothing_else(
    post: Post, receiver: Receiver
) -> None:
    made = await post.make(receiver.url)
    rotated = (await post.http.post(f"/api/v1/webhooks/{made['id']}/rotate")).json()
    await post.fire("one")
    await post.deliver()
    headers, body = receiver.got[0]
    verify = documented_verifier()
    for secret in (made["secret"], rotated["secret"]):
        verify(secret, headers, body)
    with pytest.raises(ValueError, match="not signed"):
        verify(made["secret"], headers, body + b" ")
    with pytest.raises(ValueError, match="not signed"):
        verify("whsec_" + "A" * 43 + "=", headers, body)
    with pytest.raises(ValueError, match="too old"):
        verify(made["secret"], headers, body, now=int(headers["webhook-timestamp"]) + 301)


async def test_what_is_sent_is_as_the_openapi_document_says(
    post: Post, receiver: Receiver, openapi: dict[str, Any]
) -> None:
    await post.make(receiver.url)
    await post.fire("one")
    await post.deliver()
    said = openapi["webhooks"]["event"]["post"]
    headers, body = receiver.got[0]
    schema = said["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(json.loads(body), schema)
    assert {one["name"] for one in said["parameters"]} <= headers.keys()


def test_the_asyncapi_document_has_every_event_and_is_current() -> None:
    kept = json.loads((DOCS / "asyncapi.json").read_text())
    assert kept == asyncapi_document(), "scripts/renew"
    assert kept["components"]["messages"].keys() == HOUSE.events.keys()
    assert kept["components"]["messages"]["alert.fired"]["x-permission"] == "alert:read"
