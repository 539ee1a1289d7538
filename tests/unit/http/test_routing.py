"""Which template a request has that no router saw."""

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from backend.http.routing import UNKNOWN, Templates


async def nothing():
    """What every route of this test answers."""


@pytest.fixture(scope="module")
def templates():
    router = APIRouter(prefix="/things")
    router.post("/batch")(nothing)
    router.get("/{thing_id}")(nothing)
    router.delete("/{thing_id}/parts/{part_id}")(nothing)
    app = FastAPI(openapi_url=None)
    app.include_router(router, prefix="/api")
    app.router.routes.append(Route("/token", nothing, methods=["POST"]))
    return Templates(app.routes, {"/hot"})


class TestFind:
    @pytest.mark.parametrize(
        ("method", "path", "template"),
        [
            ("POST", "/hot", "/hot"),
            ("GET", "/hot", "/hot"),
            ("POST", "/token", "/token"),
            ("GET", "/api/things/7", "/api/things/{thing_id}"),
            ("DELETE", "/api/things/7/parts/8", "/api/things/{thing_id}/parts/{part_id}"),
            # The method chooses between routes that both take the path.
            ("POST", "/api/things/batch", "/api/things/batch"),
            ("GET", "/api/things/batch", "/api/things/{thing_id}"),
        ],
    )
    def test_as_the_router_would(self, templates, method, path, template):
        assert templates.find(method, path) == template

    def test_a_wrong_method_is_the_first_routes(self, templates):
        assert templates.find("BREW", "/api/things/batch") == "/api/things/batch"
        assert templates.find("PUT", "/api/things/7") == "/api/things/{thing_id}"

    @pytest.mark.parametrize(
        "path", ["", "/", "/hot/", "/api/things", "/api/things/7/", "/api/things/7/parts", "/HOT"]
    )
    def test_a_path_of_no_route_is_no_label(self, templates, path):
        assert templates.find("GET", path) == UNKNOWN

    def test_does_not_look_through_a_path_longer_than_any_of_ours(self, templates):
        known = "/api/things/"
        assert templates.find("GET", known + "x" * (1000 - len(known))) != UNKNOWN
        assert templates.find("GET", known + "x" * 1000) == UNKNOWN
