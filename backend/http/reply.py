"""Answers that are made inside the transaction, so that an idempotent replay cannot lose them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.types import Scope

from backend.core.database import Tx
from backend.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    UnauthenticatedError,
)
from backend.http.schemas import ShownOnce

_BODY: Final = "body."
SHOWN_ONCE: Final = {"Cache-Control": "no-store"}
"""Headers of an answer that shows a secret."""

Remember = Callable[[Tx, int, dict[str, str], bytes, frozenset[str]], Awaitable[bool]]
"""Stores an answer within the transaction, with the permissions that its act needed.

False when another request stored one first.
"""


@dataclass(slots=True)
class Idempotency:
    """The caller's Idempotency-Key on its way through one request.

    ``race`` is set when a concurrent request with the same key committed first: this one is
    rolled back whole and the pipeline answers with the other's reply.
    """

    remember: Remember
    race: bool = False


class IdempotencyRaceError(ConflictError):
    """Another request with the same key won; its answer is being fetched."""

    code, title = "gateway.idempotency_in_progress", "The same request is being served"


class IdempotencyKeyReusedError(InvalidInputError):
    """The key was used with another request: method, path, query or body differ."""

    code, title = "gateway.idempotency_key_reused", "The Idempotency-Key belongs to another request"


def reply(
    request: Request,
    tx: Tx,
    body: BaseModel | None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """Shape the answer within the transaction that does the act.

    When the request carries an Idempotency-Key the answer is stored in the same commit: a crash
    either leaves neither the act nor the key, or both. The rejected alternative stores it
    afterwards and must repeat or refuse the act after a crash between the two commits. Of a
    :class:`ShownOnce` answer the secret is not stored.
    """
    content = b"" if body is None else body.model_dump_json(by_alias=True).encode()
    answer = dict(headers or {})
    permission: str = request.scope.get("permission", "")
    kept = body.withheld() if isinstance(body, ShownOnce) else content
    keep_answer(request.scope, tx, status, answer, kept, permission=permission)
    return Response(
        content, status, headers=answer, media_type="application/json" if content else None
    )


def keep_answer(
    scope: Scope,
    tx: Tx,
    status: int,
    headers: dict[str, str],
    content: bytes,
    *,
    permission: str,
) -> None:
    """Have the answer stored by the commit of ``tx`` if the request carries an Idempotency-Key.

    A replay is for those who then hold ``permission``, the route's, and whatever else the
    transaction's rules demanded of the caller. ``content`` shows no secret.
    """
    pending: Idempotency | None = scope.get("idempotency")
    if pending is None:
        return

    async def store(inner: Tx) -> None:
        # Said anew each time: an act that shares its commit may run again, and win.
        needed = inner.demanded | ({permission} if permission else frozenset())
        pending.race = not await pending.remember(inner, status, headers, content, needed)
        if pending.race:
            raise IdempotencyRaceError(headers={"Retry-After": "1"})

    tx.before_commit(store)


def is_keyed(request: Request) -> bool:
    """Whether :func:`reply` will store the answer under the request's Idempotency-Key."""
    return request.scope.get("idempotency") is not None


def leads_to(**operations: dict[str, str]) -> dict[str, Any]:
    """OpenAPI links of a response: the operations that its values are for.

    Each maps the operation's parameters to runtime expressions such as ``$response.body#/id``, and
    members of its body, which begin with ``body.``, likewise.
    """
    links: dict[str, dict[str, Any]] = {}
    for name, values in operations.items():
        link = links[name] = {"operationId": name, "parameters": {}}
        for key, value in values.items():
            if key.startswith(_BODY):
                link.setdefault("requestBody", {})[key.removeprefix(_BODY)] = value
            else:
                link["parameters"][key] = value
    return {"links": links}


def problems(*families: type[Any], of_all: bool = False) -> dict[int | str, dict[str, Any]]:
    """OpenAPI ``responses`` of a route for the errors it may answer with.

    The refusals of strangers and of who may not are every route's that asks who calls: they stand
    first, and nobody names them. ``of_all``: the route asks nobody.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for family in (*(() if of_all else (UnauthenticatedError, ForbiddenError)), *families):
        entry = found.setdefault(family.status, {"description": family.title, "codes": []})
        entry["codes"].append(family.code)
    return {
        status: {
            "description": f"{entry['description']} (`{'`, `'.join(entry['codes'])}`)",
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
        for status, entry in found.items()
    }
