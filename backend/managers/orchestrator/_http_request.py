"""The kind ``http.request``: one request to the Internet, and its answer as the job's result.

The job's id goes along as ``Idempotency-Key``, the same at each attempt. What is written down of
the answer is bounded; a receiver that has more to say is asked for it elsewhere.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from backend.core.clock import system_clock
from backend.core.errors import AppError, RateLimitedError, UnavailableError, UpstreamError
from backend.kit.outbound import HttpAnswer, Outbound
from backend.managers.orchestrator.kinds import Batch, Claim, JobKind, Outcome

NAME: Final = "http.request"
_MAX_ANSWER: Final = 65_536
_AGAIN: Final = frozenset({408, 425, 429})
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500


class HttpRequestArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked; ``body`` is sent as JSON."""

    url: Annotated[str, Meta(min_length=1, max_length=2000)]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Annotated[dict[str, Annotated[str, Meta(max_length=2000)]], Meta(max_length=30)] = {}
    body: Any = None
    seconds: Annotated[float, Meta(gt=0, le=300)] = 30.0


def http_kind(outbound: Outbound, *, public_only: bool) -> JobKind:
    """The kind, which goes out by the way out of this process."""

    async def run(batch: Batch) -> None:
        (claim,) = batch.claims
        if batch.begin(claim):
            batch.finish(claim, await _ask(outbound, claim, public_only=public_only))

    return JobKind(NAME, run, announce=True, takes=HttpRequestArgs)


async def _ask(outbound: Outbound, claim: Claim, *, public_only: bool) -> Outcome:
    try:
        asked = msgspec.convert(claim.args, HttpRequestArgs)
    except msgspec.ValidationError as exc:
        # Of what another job answered: no other try would find anything else.
        return Outcome.fail(f"args: {exc}")
    headers = {"Idempotency-Key": claim.id, "traceparent": claim.traceparent, **asked.headers}
    content = b""
    if asked.body is not None:
        headers.setdefault("Content-Type", "application/json")
        content = msgspec.json.encode(asked.body)
    try:
        answer = await outbound.request(
            asked.method,
            asked.url,
            tenant_id=claim.tenant_id,
            public_only=public_only,
            headers={name: value for name, value in headers.items() if value},
            content=content,
            timeout_seconds=min(asked.seconds, claim.timeout_seconds),
            max_bytes=_MAX_ANSWER,
        )
    except (RateLimitedError, UnavailableError, UpstreamError) as exc:
        asked_seconds = exc.extra.get("retry_after_seconds", 0.0)
        return Outcome.retry(exc.detail or exc.title, asked_seconds=asked_seconds)
    except TimeoutError:
        return Outcome.retry("It did not answer in time")
    except AppError as exc:
        return Outcome.fail(exc.detail or exc.title)
    if answer.is_success:
        return Outcome.done({"status": answer.status, "body": _said(answer)})
    error = f"It answered {answer.status}"
    if _CLIENT_ERROR <= answer.status < _SERVER_ERROR and answer.status not in _AGAIN:
        return Outcome.fail(error)
    return Outcome.retry(error, asked_seconds=answer.retry_after(system_clock()) or 0.0)


def _said(answer: HttpAnswer) -> Any:
    """The body as JSON where it is, else as text."""
    if "json" in answer.headers.get("content-type", ""):
        try:
            said: Mapping[str, Any] = json.loads(answer.body)
        except ValueError:
            pass
        else:
            return said
    return answer.body.decode("utf-8", "replace")
