"""A router is asked about paths that begin as its own do, and about no others."""

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from backend.http.routing import answer_for

ROUTERS = {
    "letters": ("/letters", "/letters/{letter_id}", "/post/{name}/letters"),
    "lettering": ("/letters-of/{name}",),
}


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def http(asked: list[str]) -> httpx.AsyncClient:
    api = FastAPI()
    for name, paths in ROUTERS.items():
        router = APIRouter()
        for path in paths:
            router.add_api_route(path, lambda path=path: path)
        before = len(api.router.routes)
        api.include_router(router)
        for route in api.router.routes[before:]:
            matches = route.matches

            def look(scope, matches=matches, name=name):
                asked.append(name)
                return matches(scope)

            route.matches = look  # type: ignore[method-assign]
            answer_for(route, paths)
    return httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://test")


@pytest.mark.parametrize(
    ("path", "status", "who"),
    [
        ("/letters", 200, ["letters"]),
        ("/letters/7", 200, ["letters"]),
        ("/post/ada/letters", 200, ["letters"]),
        # The beginning of one is that of another: both are asked, and the right one answers.
        ("/letters-of/ada", 200, ["letters", "lettering"]),
        ("/letters/7/more", 404, ["letters"]),
        ("/parcels", 404, []),
    ],
)
async def test_who_is_asked(http, asked, path, status, who) -> None:
    answer = await http.get(path)
    assert (answer.status_code, list(dict.fromkeys(asked))) == (status, who)


async def test_another_method_is_still_told_apart_from_no_route(http) -> None:
    assert (await http.delete("/letters")).status_code == 405
