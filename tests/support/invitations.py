"""An invited person in a browser: opens the link, logs in or sets a password, and accepts."""

import html
import re
from collections.abc import Generator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx

from backend.managers.identity._invitations import INVITATION_PATH
from backend.managers.identity._provider import LOGIN_PATH


class Asked(NamedTuple):
    """A request of the browser; a form when there are fields."""

    address: str
    form: dict[str, str] | None = None


def hidden_fields(page: str) -> dict[str, str]:
    """What a form carries beside what people type."""
    found = re.findall(r'type="hidden"\s+name="([^"]+)"\s+value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in found}


def _way(
    link: str, email: str, name: str, password: str
) -> Generator[Asked, httpx.Response, httpx.Response]:
    parts = urlsplit(link)
    address = f"{parts.path}?{parts.query}"
    page = yield Asked(address)
    if LOGIN_PATH in page.text:
        found = re.search(rf'href="({LOGIN_PATH}[^"]+)"', page.text)
        assert found is not None, page.text
        page = yield Asked(html.unescape(found[1]))
        form = {**hidden_fields(page.text), "email": email, "password": password}
        entered = yield Asked(LOGIN_PATH, form)
        assert entered.status_code == 303, entered.text
        page = yield Asked(entered.headers["location"])
    form = hidden_fields(page.text)
    if 'name="again"' in page.text:
        form |= {"name": name, "password": password, "again": password}
    return (yield Asked(INVITATION_PATH, form)) if form else page


def accept(
    http: httpx.Client, link: str, *, email: str, password: str, name: str = ""
) -> httpx.Response:
    """Accept in a browser of its own; ``http`` lends its server. Gives the last page."""
    way = _way(link, email, name, password)
    with httpx.Client(transport=_Lent(http._transport), base_url=http.base_url) as browser:
        asked = next(way)
        while True:
            try:
                asked = way.send(_answer(browser, asked))
            except StopIteration as end:
                answer: httpx.Response = end.value
                return answer


async def accept_async(
    browser: httpx.AsyncClient, link: str, *, email: str, password: str, name: str = ""
) -> httpx.Response:
    """The same for an application in this process, in the browser given."""
    way = _way(link, email, name, password)
    asked = next(way)
    while True:
        if asked.form is None:
            answer = await browser.get(asked.address)
        else:
            answer = await browser.post(asked.address, data=asked.form)
        try:
            asked = way.send(answer)
        except StopIteration as end:
            last: httpx.Response = end.value
            return last


def token_of(link: str) -> str:
    """What the link proves."""
    return parse_qs(urlsplit(link).query)["token"][0]


def _answer(browser: httpx.Client, asked: Asked) -> httpx.Response:
    if asked.form is None:
        return browser.get(asked.address)
    return browser.post(asked.address, data=asked.form)


class _Lent(httpx.BaseTransport):
    """A transport that outlives the client it is lent to."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer: httpx.Response = self._transport.handle_request(request)
        return answer
