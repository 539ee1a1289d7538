"""What answers HTTP in one process: the two planes behind the pipeline.

What a room has of routes is taken from its ``ROOM`` and loaded here: neither a worker nor a command
has a use for it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pkgutil import resolve_name
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from backend import __version__
from backend.app import SERVICE, Platform, make_scheduler
from backend.core.log import access_logger
from backend.core.telemetry import Consumer, Telemetry
from backend.http import problem
from backend.http.event_stream import EventStreams, StreamLimits
from backend.http.event_stream import router as event_routes
from backend.http.openapi import build_document
from backend.http.pipeline import Pipeline
from backend.http.routing import RouteRule, answer_for
from backend.managers.gateway import GatewayManager
from backend.managers.security import SecurityManager
from backend.managers.webhooks import webhooks_of
from backend.sink.routes import sink_routes

_included: Final[dict[int, tuple[APIRouter, Sequence[BaseRoute]]]] = {}


def create_app(platform: Platform) -> Pipeline:
    """The API of one process: pipeline, control plane, data plane, background writers."""
    settings, database = platform.settings, platform.database
    consumers: list[Consumer] = [
        partial(room.observe, manager)
        for room, manager in platform.at_work()
        if room.observe is not None
    ]
    if settings.telemetry.access_log:
        consumers.append(access_logger(SERVICE))
    telemetry = Telemetry(consumers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        scheduler = make_scheduler()
        async with (
            platform.running(),
            platform.serving("api", scheduler),
            # Innermost: what the last requests left is handed over before its takers end.
            telemetry.running(),
        ):
            yield

    app = _make_api(lifespan)
    app.state.database = database
    app.state.managers = platform.managers
    app.state.along = platform.house.along
    limits = settings.events
    app.state.event_streams = EventStreams(
        database,
        platform.house.events,
        platform.of(GatewayManager).authenticate,
        StreamLimits(limits.streams, limits.streams_per_tenant, limits.stream_seconds),
    )
    problem.install(app)
    app.router.routes.extend(_routes_of(event_routes))
    data_routes: list[Any] = []
    rules: list[RouteRule] = []
    for room, manager in platform.at_work():
        for place in room.routers:
            app.router.routes.extend(_routes_of(resolve_name(place)))
        data_routes += [route.bind(manager, database) for route in _found(room.data_routes)]
        for one in room.route_classes:
            limit = one.body_bytes(settings.of(room.name)) if one.body_bytes else None
            rules.append(RouteRule(one.name, one.prefix, limit))
    if settings.email.sink_directory is not None:
        key = platform.of(SecurityManager).sink_key
        app.include_router(sink_routes(settings.email.sink_directory, key))
    for room, manager in platform.at_work():
        if room.mounts:
            app.router.routes.extend(resolve_name(room.mounts)(manager))

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            rooms = [room for room, _ in platform.at_work()]
            app.openapi_schema = build_document(
                app,
                version=__version__,
                fragments=[resolve_name(room.document) for room in rooms if room.document],
                data_routes=[route for room in rooms for route in _found(room.data_routes)],
                open_paths=platform.house.open_paths,
                webhooks=webhooks_of(platform.house.events),
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return Pipeline(
        app,
        data_routes,
        gate=platform.of(GatewayManager),
        telemetry=telemetry,
        turns=platform.turns,
        body_bytes=settings.http.body_limit_bytes,
        rules=rules,
        open_paths=platform.house.open_paths,
        trusted_proxies=settings.http.trusted_proxies,
    )


def _found(data_routes: str) -> Sequence[Any]:
    """A room's routes of the data plane, by where it says that they are."""
    return resolve_name(data_routes) if data_routes else ()


def _make_api(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    return FastAPI(
        title="Email Sender",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name_of,
        # It would send callers to whatever their Host header says.
        redirect_slashes=False,
        strict_content_type=False,
    )


def _routes_of(router: APIRouter) -> Sequence[BaseRoute]:
    """A router's routes as an API includes them.

    FastAPI reads every handler's signature when it does, a tenth of a second for all of them; which
    platform they serve is not known before a request comes, so all APIs of a process share them.
    """
    known = _included.get(id(router))
    if known is None:
        api = _make_api()
        before = len(api.router.routes)
        api.include_router(router)
        found = api.router.routes[before:]
        paths = [str(getattr(route, "path", "")) for route in router.routes]
        for route in found:
            answer_for(route, paths)
        # The router is kept as well, or its number could become another's.
        known = _included[id(router)] = (router, found)
    return known[1]


def _name_of(route: APIRoute) -> str:
    """The operation's id: the handler's name, which the document's links and clients use."""
    return route.name
