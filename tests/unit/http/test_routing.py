"""What a method and a path lead to, on either plane, and which tables cannot be."""

from types import SimpleNamespace

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.routing import Mount, Route

from backend.http.deps import requires
from backend.http.routing import OTHER, UNKNOWN, RouteClashError, RouteRule, RouteTable


async def nothing():
    """What every route of this test answers."""


async def hot(scope, receive, send):
    """The other plane."""


def data(method, path, permission="thing:read", cost=1):
    return SimpleNamespace(
        method=method, path=path, permission=permission, cost=cost, app=hot, query={}
    )


def table(*routes, data_routes=(), rules=()):
    """A table of an application with these routes: method, path, further arguments."""
    app = FastAPI(openapi_url=None)
    for method, path, *more in routes:
        app.router.add_api_route(path, nothing, methods=[method], dependencies=[*more])
    return RouteTable(app, app.routes, data_routes, body_bytes=100, rules=rules)


@pytest.fixture(scope="module")
def routes():
    router = APIRouter(prefix="/things")
    router.post("/batch")(nothing)
    router.get("/{thing_id}", dependencies=[requires("thing:read")])(nothing)
    router.delete("/{thing_id}/parts/{part_id}")(nothing)
    app = FastAPI(openapi_url=None)
    app.include_router(router, prefix="/api")
    app.router.routes.append(Route("/token", nothing, methods=["POST"]))
    return RouteTable(
        app,
        app.routes,
        [
            data("POST", "/hot", cost=3),
            data("PUT", "/api/things/{name}/hot"),
            data("DELETE", "/api/things/{name}", "thing:write"),
        ],
        body_bytes=100,
        rules=[
            RouteRule("hot", "/hot", 5),
            RouteRule("api", "/api", 1000),
            RouteRule("things", "/api/things"),
        ],
    )


class TestFind:
    @pytest.mark.parametrize(
        ("method", "path", "template"),
        [
            ("POST", "/hot", "/hot"),
            ("GET", "/hot", "/hot"),
            ("POST", "/token", "/token"),
            ("GET", "/api/things/7", "/api/things/{thing_id}"),
            ("DELETE", "/api/things/7", "/api/things/{name}"),
            ("DELETE", "/api/things/7/parts/8", "/api/things/{thing_id}/parts/{part_id}"),
            ("PUT", "/api/things/7/hot", "/api/things/{name}/hot"),
            # The method chooses between routes that both take the path.
            ("POST", "/api/things/batch", "/api/things/batch"),
            ("GET", "/api/things/batch", "/api/things/{thing_id}"),
            # What leads nowhere in the branch that spells more out is looked for in the other.
            ("PUT", "/api/things/batch/hot", "/api/things/{name}/hot"),
        ],
    )
    def test_as_the_router_would(self, routes, method, path, template):
        assert routes.find(method, path).template == template

    def test_a_wrong_method_is_the_first_routes(self, routes):
        for method, path, template, allow in (
            ("BREW", "/api/things/batch", "/api/things/batch", ("POST",)),
            ("PUT", "/api/things/7", "/api/things/{thing_id}", ("DELETE", "GET")),
            ("GET", "/hot", "/hot", ("POST",)),
            ("POST", "/api/things/7/hot", "/api/things/{name}/hot", ("PUT",)),
        ):
            found = routes.find(method, path)
            assert (found.template, found.allow) == (template, allow), path

    @pytest.mark.parametrize(
        "path",
        [
            *("", "/", "*", "hot", "/hot/", "//hot", "/HOT", "/hot\n", "/token\n"),
            *("/api/things", "/api/things/", "/api/things/7/", "/api/things/7/parts"),
            *("/api/things//parts/8", "/api/things/7/parts/8/9", "/" * 60_000, "/a" * 30_000),
        ],
    )
    def test_a_path_of_no_route_is_no_label(self, routes, path):
        found = routes.find("GET", path)
        assert (found.template, found.allow) == (UNKNOWN, ())

    def test_a_parameter_takes_whatever_is_no_slash(self, routes):
        for value in ("%2F", "a b", "\n", "{thing_id}", "x" * 60_000):
            found = routes.find("GET", f"/api/things/{value}")
            assert (found.template, found.allow) == ("/api/things/{thing_id}", None)

    def test_says_what_is_decided_by_the_head_alone(self, routes):
        plane = routes.find("POST", "/token").app
        for method, path, permission, body_bytes, route_class, cost, app in (
            ("POST", "/hot", "thing:read", 5, "hot", 3, hot),
            ("POST", "/token", "", 100, OTHER, 1, plane),
            ("GET", "/api/things/7", "thing:read", 100, "things", 1, plane),
            ("DELETE", "/api/things/7", "thing:write", 100, "things", 1, hot),
        ):
            found = routes.find(method, path)
            assert found[1:6] == (permission, body_bytes, route_class, cost, app), path

    def test_what_is_no_route_has_a_class_as_well(self, routes):
        for path, route_class, body_bytes in (
            ("/api/nothing", "api", 1000),
            ("/api/things/7/8/9", "things", 100),
            ("/api/things-of-others", "api", 1000),
            ("/apis", OTHER, 100),
        ):
            found = routes.find("GET", path)
            assert (found.route_class, found.body_bytes) == (route_class, body_bytes), path


class TestPermission:
    def test_is_found_behind_other_dependencies(self):
        async def inner(_: object = requires("thing:write")) -> None: ...

        found = table(("GET", "/a", Depends(inner)))
        assert found.find("GET", "/a").permission == "thing:write"

    def test_two_of_them_are_refused(self):
        with pytest.raises(RouteClashError, match="/a requires thing:read and thing:write"):
            table(("GET", "/a", requires("thing:read"), requires("thing:write")))


class TestClash:
    @pytest.mark.parametrize(
        ("routes", "data_routes", "said"),
        [
            ([("GET", "/a"), ("GET", "/a")], [], "GET /a is claimed twice"),
            (
                [("GET", "/a/{b}"), ("GET", "/a/{c}")],
                [],
                "GET /a/{c} is claimed twice, the other time as /a/{b}",
            ),
            ([("GET", "/a/{b}")], [data("GET", "/a/{c}")], "GET /a/{c} is claimed twice"),
            ([], [data("GET", "/a"), data("GET", "/a")], "GET /a is claimed twice"),
            (
                [("GET", "/a/{b}"), ("GET", "/a/mine")],
                [],
                "GET /a/mine must stand before /a/{}, which hides it",
            ),
            (
                [("GET", "/{a}/c"), ("GET", "/b/{d}")],
                [],
                "GET /b/{} must stand before /{}/c, which hides it",
            ),
            ([("GET", "/a/{b:path}")], [], "a parameter is a whole segment"),
            ([("GET", "/a/{b}.json")], [], "a parameter is a whole segment"),
            ([], [data("GET", "a")], "does not begin with a slash"),
        ],
    )
    def test_is_refused_in_one_line(self, routes, data_routes, said):
        with pytest.raises(RouteClashError) as raised:
            table(*routes, data_routes=data_routes)
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_what_only_looks_like_one_stands(self):
        found = table(
            ("GET", "/a/mine"),
            ("GET", "/a/{b}"),
            ("POST", "/a/{b}"),
            ("POST", "/b/{c}"),
            ("GET", "/{c}"),
            data_routes=[data("PUT", "/a/{b}"), data("GET", "/a/theirs")],
        )
        assert found.find("GET", "/a/theirs").app is hot
        assert found.find("GET", "/a/mine").template == "/a/mine"

    def test_a_mounted_application_has_no_place(self):
        app = FastAPI(openapi_url=None)
        app.router.routes.append(Mount("/m", FastAPI()))
        with pytest.raises(RouteClashError, match="/m is no route with methods"):
            RouteTable(app, app.routes, [], body_bytes=100)
