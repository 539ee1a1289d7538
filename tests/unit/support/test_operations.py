"""How the tests find a way to every operation, and what they say where there is none."""

import copy
import json
from typing import Any

import httpx
import pytest

from tests.support.operations import PROMISED, Operations

WORKING = {"id": "0199c0de-0000-7000-8000-000000000001", "job_id": "of-the-email"}


def able(document: dict[str, Any], asked: list[httpx.Request] | None = None) -> Operations:
    """The operations of a document; whatever is asked of the server answers with ids."""

    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        return httpx.Response(200, json=WORKING)

    transport = httpx.MockTransport(answer)
    return Operations(document, httpx.AsyncClient(transport=transport, base_url="http://test"))


async def test_takes_the_shortest_way_that_links_lead() -> None:
    asked: list[httpx.Request] = []
    made = await able(PROMISED, asked).prepare("retry_job")
    assert [one.url.path for one in asked] == [
        "/api/v1/emails",
        "/api/v1/jobs/of-the-email/cancel",
    ]
    assert made.path_parameters == {"job_id": WORKING["id"]}


async def test_names_what_is_free_anew_and_leaves_what_is_bound() -> None:
    all_of_them = able(PROMISED)
    first, second = [(await all_of_them.prepare("create_invitation")).body for _ in range(2)]
    assert first["email"].endswith("-grace@example.test")
    assert first["email"] != second["email"]
    assert first["role"] == second["role"] == "viewer"
    name = (await all_of_them.prepare("put_template")).path_parameters["name"]
    assert name.endswith("-welcome")


async def test_says_which_link_and_which_example_is_missing() -> None:
    document = copy.deepcopy(PROMISED)
    del document["paths"]["/api/v1/api-keys"]["post"]["responses"]["201"]["links"]
    with pytest.raises(LookupError, match="no response leads to revoke_api_key"):
        await able(document).prepare("revoke_api_key")
    del document["components"]["schemas"]["ClientCreate"]["properties"]["role"]["examples"]
    with pytest.raises(LookupError, match="ClientCreate has no example of role"):
        await able(document).prepare("create_client")


async def test_a_refusal_is_told_with_its_answer() -> None:
    refused = httpx.MockTransport(lambda _: httpx.Response(409, text=json.dumps("taken")))
    http = httpx.AsyncClient(transport=refused, base_url="http://test")
    with pytest.raises(httpx.HTTPStatusError, match=r"^POST /api/v1/clients: 409 .taken"):
        await Operations(PROMISED, http).perform("create_client")
