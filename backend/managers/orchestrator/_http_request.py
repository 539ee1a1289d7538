"""The kinds that ask somebody on the Internet: ``http.request``, and ``n8n.workflow``.

The job's id goes along as ``Idempotency-Key``, the same at each attempt. What is written down of
the answer is bounded; a receiver that has more to say is asked for it elsewhere.

A workflow of n8n is asked by its webhook. It gives its result as the answer to that, or later: then
it is told an address for it, and the job waits there without a worker.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from backend.core.clock import system_clock
from backend.core.errors import AppError, RateLimitedError, UnavailableError, UpstreamError
from backend.core.sound_json import read_json
from backend.kit.outbound import HttpAnswer, Outbound, is_web_address
from backend.managers.orchestrator._answers import Callbacks
from backend.managers.orchestrator.kinds import Batch, Claim, JobKind, Outcome

REQUEST: Final = "http.request"
WORKFLOW: Final = "n8n.workflow"
_MAX_ANSWER: Final = 65_536
_AGAIN: Final = frozenset({408, 425, 429})
_NOT_FOUND: Final = 404
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_NOT_REGISTERED: Final = "is not registered"
_SAID_CHARS: Final = 300
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIELD: Final = re.compile(r"[\t -~]*")
_OURS: Final = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection"),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)
A = TypeVar("A", bound=msgspec.Struct)

Url = Annotated[str, Meta(min_length=1, max_length=2000)]
Headers = Annotated[dict[str, Annotated[str, Meta(max_length=2000)]], Meta(max_length=30)]
Seconds = Annotated[float, Meta(gt=0, le=300)]


class _Addressed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that is sent to an address."""

    url: Url
    headers: Headers = {}

    def __post_init__(self) -> None:
        """Refuse what is shown to whoever may look at jobs, or reads as something else than it is.

        Raises:
            ValueError: A name or password before the host, another scheme, or no host; a header
                that is none, or says what is ours to say: to whom, and where the request ends.
        """
        if not is_web_address(self.url, plain=True):
            raise ValueError("The url is one of http or https with a host and no credentials")
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or not _FIELD.fullmatch(value):
                raise ValueError(f"The header {name!r} is none: a token, and ASCII in one line")
            if name.lower() in _OURS:
                raise ValueError(f"The header {name} is set by whoever sends the request")


class HttpRequestArgs(_Addressed, frozen=True, forbid_unknown_fields=True):
    """What is asked; ``body`` is sent as JSON."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    body: Any = None
    seconds: Seconds = 30.0


class WorkflowArgs(_Addressed, frozen=True, forbid_unknown_fields=True):
    """Which webhook is told what, and how it answers.

    Attributes:
        payload: Sent as JSON; with a callback its member ``callback_url`` says where.
        seconds: What the webhook's own answer may take.
        answer: Whether that is the result, or what comes to the callback within ``wait_seconds``.
    """

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    payload: dict[str, Any] = {}
    seconds: Seconds = 30.0
    answer: Literal["response", "callback"] = "response"
    wait_seconds: Annotated[float, Meta(ge=1, le=30 * 86_400)] = 3600.0


class Asks:
    """Sends the requests of jobs, by the way out of this process.

    Args:
        outbound: The way out.
        public_only: Whether private addresses are refused.
        callbacks: Makes addresses for answers.
    """

    def __init__(self, outbound: Outbound, *, public_only: bool, callbacks: Callbacks) -> None:
        self._outbound = outbound
        self._public_only = public_only
        self._callbacks = callbacks

    def kinds(self) -> tuple[JobKind, JobKind]:
        """What jobs ask by."""
        return (
            _kind(REQUEST, HttpRequestArgs, self._request),
            _kind(WORKFLOW, WorkflowArgs, self._run_workflow),
        )

    async def _request(self, claim: Claim, asked: HttpRequestArgs) -> Outcome:
        answer = await self._send(
            claim,
            asked.method,
            asked.url,
            asked.headers,
            body=asked.body,
            seconds=asked.seconds,
        )
        return answer if isinstance(answer, Outcome) else _outcome(answer)

    async def _run_workflow(self, claim: Claim, asked: WorkflowArgs) -> Outcome:
        headers, body = asked.headers, asked.payload
        if asked.answer == "callback":
            # From before it is sent: a workflow may be quicker than the webhook's own answer.
            most = timedelta(seconds=claim.timeout_seconds + asked.wait_seconds)
            address = self._callbacks.address(claim, system_clock() + most)
            headers = _with(headers, {"X-Callback-Url": address})
            body = {**body, "callback_url": address}
        answer = await self._send(
            claim, asked.method, asked.url, headers, body=body, seconds=asked.seconds
        )
        if isinstance(answer, Outcome):
            return answer
        if answer.is_success and asked.answer == "callback":
            return Outcome.wait(asked.wait_seconds)
        if answer.is_success:
            return _outcome(answer)
        said = _message(answer)
        if answer.status == _NOT_FOUND and _NOT_REGISTERED in said:
            where = urlsplit(asked.url).path
            return Outcome.retry(f"No active workflow has the webhook {asked.method} {where}")
        return _outcome(answer, said)

    async def _send(
        self,
        claim: Claim,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        body: Any,
        seconds: float,
    ) -> HttpAnswer | Outcome:
        """What was answered, or what it comes to that nothing was."""
        sent = {"Idempotency-Key": claim.id, "traceparent": claim.traceparent}
        content = b""
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = msgspec.json.encode(body)
        sent = _with(sent, headers)
        try:
            return await self._outbound.request(
                method,
                url,
                tenant_id=claim.tenant_id,
                public_only=self._public_only,
                headers={name: value for name, value in sent.items() if value},
                content=content,
                timeout_seconds=min(seconds, claim.timeout_seconds),
                max_bytes=_MAX_ANSWER,
            )
        except (RateLimitedError, UnavailableError, UpstreamError) as exc:
            asked_seconds = exc.extra.get("retry_after_seconds", 0.0)
            return Outcome.retry(exc.detail or exc.title, asked_seconds=asked_seconds)
        except TimeoutError:
            return Outcome.retry("It did not answer in time")
        except AppError as exc:
            return Outcome.fail(exc.detail or exc.title)


def _with(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """The headers and more, which win over those of their names, however these are written."""
    names = {name.lower() for name in more}
    return {name: value for name, value in headers.items() if name.lower() not in names} | {**more}


def _kind(name: str, takes: type[A], ask: Callable[[Claim, A], Awaitable[Outcome]]) -> JobKind:
    async def run(batch: Batch) -> None:
        (claim,) = batch.claims
        if batch.begin(claim):
            try:
                asked = msgspec.convert(claim.args, takes)
            except msgspec.ValidationError as exc:
                # Of what another job answered: no other try would find anything else.
                batch.finish(claim, Outcome.fail(f"args: {exc}"))
            else:
                batch.finish(claim, await ask(claim, asked))

    return JobKind(name, run, announce=True, takes=takes)


def _outcome(answer: HttpAnswer, said: str = "") -> Outcome:
    if answer.is_success:
        return Outcome.done({"status": answer.status, "body": _said(answer)})
    error = f"It answered {answer.status}{f': {said}' if said else ''}"
    if _CLIENT_ERROR <= answer.status < _SERVER_ERROR and answer.status not in _AGAIN:
        return Outcome.fail(error)
    return Outcome.retry(error, asked_seconds=answer.retry_after(system_clock()) or 0.0)


def _said(answer: HttpAnswer) -> Any:
    """The body as JSON where it is such that it is kept, else as text."""
    if "json" in answer.headers.get("content-type", ""):
        with suppress(ValueError):
            return read_json(answer.body)
    return answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _message(answer: HttpAnswer) -> str:
    """What n8n says is wrong: the ``message`` of its answer, where it has one."""
    said = _said(answer)
    message = said.get("message") if isinstance(said, dict) else None
    return message[:_SAID_CHARS] if isinstance(message, str) else ""
