"""What schemathesis cannot know: what exists, which rules no schema says, whom not to remove.

``EMAIL_SENDER_TOKEN`` is the access token that makes the calls. With ``EMAIL_SENDER_EMAIL`` and
``EMAIL_SENDER_PASSWORD`` the log-in form is filled in correctly, too.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import schemathesis
from schemathesis import BaseSchema, Case, HookContext
from schemathesis.config import OperationConfig

from backend.core.ids import uuid7
from tests.support.invitations import hidden_fields, token_of
from tests.support.operations import Operations

# The bodies are well-formed, and each request has a key of its own: these are no rules of a route.
_OF_THE_EDGE = {"invalid_input", "gateway.idempotency_key_reused"}


# Kinds of limits that may concern who makes the calls.
_OF_MANY = ("tenant", "caller", "user", "route_class")


def _has_rules_of_its_own(operation: dict[str, Any]) -> bool:
    codes = re.findall("`([^`]+)`", operation["responses"]["422"].get("description", ""))
    return not _OF_THE_EDGE.issuperset(codes)


# What the issuer grants to a client by its own authentication alone: no drawn form is sure to leave
# out the second way of it, which is refused.
_GRANTED = {
    "issue_token": {"grant_type": "client_credentials"},
    "revoke_token": {"token": "nobody-has-it"},
    "introspect_token": {"token": "nobody-has-it"},
}

# Lines of JSON are a text to the schema, and the route reads each: they are sent as they stand.
schemathesis.serializer.alias("application/x-ndjson", "text/plain")


@schemathesis.hook
def after_load_schema(context: HookContext, schema: BaseSchema) -> None:
    """Let a valid body be refused where the document names a rule that no schema can say."""
    names = [
        f"{method.upper()} {path}"
        for path, item in schema.raw_schema["paths"].items()
        for method, operation in item.items()
        if "422" in operation["responses"] and _has_rules_of_its_own(operation)
    ]
    statuses = ["2xx", "403", "404", "409", "422"]
    checks = {"positive_data_acceptance": {"expected-statuses": statuses}}
    made = OperationConfig.from_dict({"include-name": names, "checks": checks})
    # Last: what the file says of an operation counts before it.
    schema.config.operations.operations.append(made)


async def keep_spans() -> None:
    """Wait for the tick of the server that is asked; a test that has it at hand puts it here."""
    await asyncio.sleep(0.1)


add_worker: Callable[[], Awaitable[str]] | None = None
"""Has a worker be heard; None: the server that is asked has one. A test puts its own here."""


async def _on_something(
    base_url: str, document: dict[str, Any], operation_id: str
) -> dict[str, Any]:
    """The parts of a case that names a thing which exists."""
    headers = {"Authorization": f"Bearer {os.environ['EMAIL_SENDER_TOKEN']}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=60) as http:
        password = os.environ.get("EMAIL_SENDER_PASSWORD", "")
        able = Operations(document, http, password, keep_spans, add_worker)
        made = await able.prepare(operation_id)
    case: dict[str, Any] = {"path_parameters": {}, "query": dict(made.query)}
    for name, value in made.path_parameters.items():
        place = "path_parameters" if f"{{{name}}}" in made.template else "query"
        case[place][name] = value
    if made.media_type is not None:
        case |= {"body": made.body, "media_type": made.media_type}
    return case


@schemathesis.hook
def before_add_examples(context: HookContext, examples: list[Case]) -> None:
    """Ask each operation on a thing once about one that exists."""
    operation = context.operation
    if operation is None:
        return
    operation_id = operation.definition.raw["operationId"]
    base_url = operation.schema.get_base_url().rstrip("/")
    document = operation.schema.raw_schema
    if "{" in operation.path:
        made = asyncio.run(_on_something(base_url, document, operation_id))
        examples.append(operation.Case(**made))
    elif operation_id in _GRANTED:
        form: dict[str, Any] = dict(_GRANTED[operation_id])
        examples.append(operation.Case(body=form, media_type="application/x-www-form-urlencoded"))
    elif operation_id == "change_password" and "EMAIL_SENDER_PASSWORD" in os.environ:
        password = os.environ["EMAIL_SENDER_PASSWORD"]
        body: dict[str, Any] = {"old_password": password, "new_password": password}
        examples.append(operation.Case(body=body, media_type="application/json"))
    elif operation_id == "reset_password":
        page = httpx.get(f"{base_url}/oauth/password-reset")
        form = {**hidden_fields(page.text), "email": "nobody@example.test"}
        examples.append(
            operation.Case(
                body=form,
                media_type="application/x-www-form-urlencoded",
                cookies=dict(page.cookies),
            )
        )
    elif operation_id in {"show_invitation", "accept_invitation"}:
        link = asyncio.run(_invite(base_url, document))
        token, page = token_of(link), httpx.get(link)
        if operation_id == "show_invitation":
            examples.append(operation.Case(query={"token": token}))
            return
        password = secrets.token_urlsafe(16)
        form = {**hidden_fields(page.text), "name": "N", "password": password, "again": password}
        examples.append(
            operation.Case(
                body=form,
                media_type="application/x-www-form-urlencoded",
                cookies=dict(page.cookies),
            )
        )
    elif operation_id == "log_in" and "EMAIL_SENDER_PASSWORD" in os.environ:
        return_to = _return_to(document)
        page = httpx.get(f"{base_url}/oauth/login", params={"return_to": return_to})
        csrf = re.search(r'name="csrf"\s+value="([^"]+)"', page.text)
        assert csrf is not None, page.text
        form = {
            "csrf": csrf[1],
            "return_to": return_to,
            "email": os.environ["EMAIL_SENDER_EMAIL"],
            "password": os.environ["EMAIL_SENDER_PASSWORD"],
        }
        examples.append(
            operation.Case(
                body=form,
                media_type="application/x-www-form-urlencoded",
                cookies=dict(page.cookies),
            )
        )


async def _invite(base_url: str, document: dict[str, Any]) -> str:
    """The link of an invitation that waits, at the server that is asked."""
    headers = {"Authorization": f"Bearer {os.environ['EMAIL_SENDER_TOKEN']}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=60) as http:
        made = await Operations(document, http).perform("create_invitation")
    return f"{base_url}/oauth/invitation?token={token_of(made.json()['link'])}"


def _return_to(document: dict[str, Any]) -> str:
    """The document's own example of an authorization request."""
    (parameter,) = document["paths"]["/oauth/login"]["get"]["parameters"]
    return str(parameter["schema"]["examples"][0])


def _own_ids() -> dict[str, str]:
    """The person and the session whose token makes the calls, by the parameters that name them.

    For a client its id, which no member has, and no session.
    """
    part = os.environ["EMAIL_SENDER_TOKEN"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return {
        "user_id": str(claims["sub"].partition(":")[2]),
        "session_id": str(claims.get("sid", "")),
    }


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Keep sound idempotency keys apart by request, and the caller logged in and among the members.

    A caller makes a key for one request. Drawn keys are short and repeat, and every answer would
    be that the key belongs to another request. The same request keeps the same key, so replays
    happen.
    """
    headers = case.headers
    key = str(headers.get("Idempotency-Key", "")) if headers else ""
    if headers and re.fullmatch("[!-~]{1,255}", key):
        version = headers.get("if-match") or headers.get("If-Match")
        request = (case.method, case.path, case.path_parameters, case.query, case.body, version)
        digest = hashlib.sha256(repr(request).encode("utf-8", "backslashreplace")).hexdigest()
        headers["Idempotency-Key"] = f"{key[:190]}-{digest}"
    if headers and "Authorization" in {**headers, **(kwargs.get("headers") or {})}:
        # Two credentials are refused as one too many, which no schema says.
        headers.pop("X-API-Key", None)
    for name, value in case.path_parameters.items():
        # A link by what is null here: a small export is made at once, and has no job.
        if value in (None, "None"):
            case.path_parameters[name] = uuid7()
    for name, own in _own_ids().items():
        if case.path_parameters.get(name) == own:
            case.path_parameters[name] = uuid7()
    body = case.body
    if isinstance(body, dict) and case.path.endswith("/limits") and body.get("kind") in _OF_MANY:
        # One of everybody's would be the caller's too, and the end of all that follows.
        body["kind"] = "client"
