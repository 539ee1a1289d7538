"""The wire between console and platform: it hears every call, and fails where it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import httpx


@dataclass(frozen=True)
class Call:
    """A call that went over the wire, for tests to look at."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


Handle = Callable[[httpx.Request], httpx.Response]


class Wire(httpx.BaseTransport):
    """Carries requests to ``inner``; rules for single routes can be put in the way."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self._rules: dict[tuple[str, str], Callable[[Handle], Handle]] = {}
        self.calls: list[Call] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Note the call and answer it, by a rule if there is one."""
        raw = request.read()
        kind = request.headers.get("content-type", "")
        body: Any = raw or None
        if "x-www-form-urlencoded" in kind:
            body = dict(parse_qsl(raw.decode()))
        elif raw and "json" in kind:
            body = json.loads(raw)
        path = request.url.path
        self.calls.append(Call(request.method, path, dict(request.url.params), body))
        handle: Handle = self._inner.handle_request
        rule = self._rules.get((request.method, path))
        return rule(handle)(request) if rule else handle(request)

    def called(self, method: str, path: str) -> list[Call]:
        """Return the calls of one route so far, oldest first."""
        return [call for call in self.calls if (call.method, call.path) == (method, path)]

    def clear(self) -> None:
        """Take all rules away."""
        self._rules.clear()

    def fail(
        self,
        method: str,
        path: str,
        status: int,
        code: str,
        title: str,
        *,
        times: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Answer with a problem instead, so many times or from now on."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        left = [times]

        def rule(handle: Handle) -> Handle:
            def answer(request: httpx.Request) -> httpx.Response:
                if left[0] == 0:
                    return handle(request)
                if left[0] is not None:
                    left[0] -= 1
                problem = {"title": title, "code": code, "request_id": "req-on-purpose"}
                return httpx.Response(status, json=problem, headers=headers)

            return answer

        self._rules[method, path] = rule

    def lose_answer(self, method: str, path: str) -> None:
        """Carry the next call out, and lose its answer on the way back."""
        lost = []

        def rule(handle: Handle) -> Handle:
            def answer(request: httpx.Request) -> httpx.Response:
                found = handle(request)
                if lost:
                    return found
                lost.append(found)
                raise httpx.RemoteProtocolError("Server disconnected", request=request)

            return answer

        self._rules[method, path] = rule

    def delay(self, method: str, path: str, seconds: float) -> None:
        """Answer as much later: past the caller's patience it has gone, as on a real connection."""

        def rule(handle: Handle) -> Handle:
            def answer(request: httpx.Request) -> httpx.Response:
                if seconds > request.extensions["timeout"]["read"]:
                    raise httpx.ReadTimeout("no answer yet", request=request)
                return handle(request)

            return answer

        self._rules[method, path] = rule

    def alter(self, method: str, path: str, change: Callable[[Any], Any]) -> None:
        """Answer in another form: ``change`` takes the answer's JSON and returns what is sent."""

        def rule(handle: Handle) -> Handle:
            def answer(request: httpx.Request) -> httpx.Response:
                given = handle(request)
                return httpx.Response(given.status_code, json=change(given.json()))

            return answer

        self._rules[method, path] = rule
