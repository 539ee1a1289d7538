"""One table of all routes, both planes': what a method and a path lead to, before a router looks.

Whatever is decided of a request by its head alone is decided from here: who may send it, how large
it may be, what it is charged to, which plane serves it, and under which template metrics, logs,
spans and the trail speak of it. No regular expression: a path is followed segment by segment
through a tree, so that a path costs what its depth does, whatever a stranger writes into it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, get_args, get_origin

from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from pydantic import BaseModel
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Scope

UNKNOWN: Final = "(none)"
"""The template of a path that is no route's: the path itself would be a series for each typo."""

OTHER: Final = "other"
"""The class of whatever no rule names."""

_PARAMETER: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}", re.IGNORECASE)


def answer_for(router: BaseRoute, paths: Iterable[str]) -> None:
    """Have an included router asked only about requests whose path begins as one of its own does.

    FastAPI asks each router in turn, and each looks through all of its routes: a quarter of what an
    API with three hundred of them did for a request was to find out which one it is of.

    Args:
        router: As an application includes it.
        paths: The templates of its routes.
    """
    beginnings = tuple({path.partition("{")[0] for path in paths})
    matches = router.matches

    def look(scope: Scope) -> tuple[Match, Scope]:
        if not scope["path"].startswith(beginnings):
            return Match.NONE, {}
        return matches(scope)

    router.matches = look  # type: ignore[method-assign]


class RouteClashError(RuntimeError):
    """Two routes claim the same requests, or one is not to be told by its path alone."""


@dataclass(frozen=True, slots=True)
class RouteRule:
    """The class of all paths below a prefix; of two that hold, the longer one counts.

    Attributes:
        name: The class, as the gate knows it.
        prefix: Whole segments: ``/api/v1/emails`` does not hold for ``/api/v1/emails-sent``.
        body_bytes: The largest body; None: the table's default.
    """

    name: str
    prefix: str
    body_bytes: int | None = None


class Target(NamedTuple):
    """What a method and a path lead to.

    Attributes:
        template: The route's path with its parameters' names, or :data:`UNKNOWN`.
        permission: What the caller must hold; empty: the route asks for none, or asks by itself.
        body_bytes: The largest body.
        route_class: What the gate charges.
        cost: How many requests it counts for.
        app: What serves it.
        query: The parameters of its query by name, and whether one may be given several times;
            None: it says itself what it takes.
        fresh: Whether a person's log-in must be a recent one.
        counted: Whether it is one of the requests that a tenant has so many of a day.
        allow: None for a route. Else there is none, and these are the path's methods: 404 when
            there are none either, 405 otherwise.
    """

    template: str
    permission: str
    body_bytes: int
    route_class: str
    cost: int
    app: ASGIApp
    query: Mapping[str, bool] | None = None
    fresh: bool = False
    counted: bool = True
    allow: tuple[str, ...] | None = None


class DataTarget(Protocol):
    """What the table asks of a route of the data plane."""

    @property
    def method(self) -> str:
        """The one method it takes."""

    @property
    def path(self) -> str:
        """Its template."""

    @property
    def permission(self) -> str:
        """What it takes to call it."""

    @property
    def cost(self) -> int:
        """How many requests one counts for."""

    @property
    def app(self) -> ASGIApp:
        """What serves it."""

    @property
    def query(self) -> Mapping[str, bool] | None:
        """The parameters of its query, as a target has them."""


class _Node:
    """A point within paths: what may follow, and the routes that end here by method."""

    __slots__ = ("literals", "parameter", "targets")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.targets: dict[str, Target] = {}


class RouteTable:
    """All routes, read once; finding one neither waits nor keeps anything.

    Of two routes that take the same path and method the one wins that spells it out further. The
    control plane's router lets the first one win instead: a table in which the two would differ is
    refused, so that what was decided here is about the route that will run.
    """

    def __init__(
        self,
        control_plane: ASGIApp,
        routes: Sequence[BaseRoute],
        data_routes: Iterable[DataTarget],
        *,
        body_bytes: int,
        rules: Iterable[RouteRule] = (),
    ) -> None:
        """Read the routes.

        Args:
            control_plane: What serves the routes that have no app of their own.
            routes: The control plane's, in its order.
            data_routes: The data plane's.
            body_bytes: The largest body where no rule says another.
            rules: Classes of paths.

        Raises:
            RouteClashError: Two routes claim the same method and path, one hides another, or one
                is none that is told by its segments alone.
        """
        self._control = control_plane
        self._body_bytes = body_bytes
        self._rules = sorted(rules, key=lambda rule: len(rule.prefix), reverse=True)
        self._root = _Node()
        self._spelled: dict[str, dict[str, Target]] = {}
        self._depth = 1
        for context in iter_route_contexts(routes):
            path, methods = context.path, context.methods
            if path is None or not methods:
                raise RouteClashError(f"{path or repr(context.route)} is no route with methods")
            permission, query = permission_of(context), _query_of(context)
            fresh, counted = is_fresh(context), _is_counted(context)
            for method in methods:
                shape = self._add(
                    method, path, permission, 1, control_plane, query, fresh=fresh, counted=counted
                )
                _refuse_hidden(method, shape, self._rivals(method, shape))
        for route in data_routes:
            self._add(
                route.method, route.path, route.permission, route.cost, route.app, route.query
            )

    def _add(  # noqa: PLR0917 - a target's parts, in its order
        self,
        method: str,
        path: str,
        permission: str,
        cost: int,
        app: ASGIApp,
        query: Mapping[str, bool] | None,
        *,
        fresh: bool = False,
        counted: bool = True,
    ) -> tuple[str, ...]:
        if not path.startswith("/"):
            raise RouteClashError(f"{path!r} does not begin with a slash")
        node = self._root
        shape: list[str] = []
        for segment in path.split("/")[1:]:
            if _PARAMETER.fullmatch(segment):
                shape.append("{}")
                node.parameter = node.parameter or _Node()
                node = node.parameter
            elif "{" in segment:
                raise RouteClashError(
                    f"{path}: a parameter is a whole segment, and converts nothing"
                )
            else:
                shape.append(segment)
                node = node.literals.setdefault(segment, _Node())
        if method in node.targets:
            other = node.targets[method].template
            raise RouteClashError(f"{method} {path} is claimed twice, the other time as {other}")
        rule = self._rule_of(path)
        node.targets[method] = Target(
            path, permission, rule[1], rule[0], cost, app, query, fresh, counted
        )
        self._depth = max(self._depth, len(shape))
        if "{}" not in shape:
            self._spelled[path] = node.targets
        return tuple(shape)

    def _rivals(self, method: str, shape: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """The shapes of the routes so far that some path of this one is a path of as well."""
        waiting: list[tuple[_Node, tuple[str, ...]]] = [(self._root, ())]
        while waiting:
            node, other = waiting.pop()
            if len(other) == len(shape):
                if method in node.targets and other != shape:
                    yield other
                continue
            segment = shape[len(other)]
            found = node.literals if segment == "{}" else {segment}
            waiting += [
                (node.literals[one], (*other, one)) for one in found if one in node.literals
            ]
            if node.parameter is not None:
                waiting.append((node.parameter, (*other, "{}")))

    def _rule_of(self, path: str) -> tuple[str, int]:
        for rule in self._rules:
            if path == rule.prefix or path.startswith(f"{rule.prefix}/"):
                limit = rule.body_bytes
                return rule.name, self._body_bytes if limit is None else limit
        return OTHER, self._body_bytes

    def find(self, method: str, path: str) -> Target:
        """What the request leads to; a target with ``allow`` when it is no route's.

        The path is the decoded one. Costs a lookup for a path without parameters, and a few
        microseconds for another.
        """
        targets = self._spelled.get(path)
        if targets is not None:
            target = targets.get(method)
            if target is not None:
                return target
        for targets in self._takers(path):
            target = targets.get(method)
            if target is not None:
                return target
        return self._miss(path)

    def methods_of(self, path: str) -> tuple[str, ...]:
        """The methods of the resource at ``path``, sorted.

        A route that spells the path out wins over those that take a part of it for a parameter:
        with ``/emails/batch`` there is no message of that name to get.
        """
        spelled = self._spelled.get(path)
        found = [spelled] if spelled is not None else self._takers(path)
        return tuple(sorted({method for targets in found for method in targets}))

    def _miss(self, path: str) -> Target:
        name, limit = self._rule_of(path)
        template = UNKNOWN
        for targets in self._takers(path):
            # The one it would be the 405 of.
            template = next(iter(targets.values())).template
            break
        return Target(template, "", limit, name, 1, self._control, allow=self.methods_of(path))

    def _takers(self, path: str) -> Iterator[dict[str, Target]]:
        """The routes that take the path, by method; those that spell more of it out first."""
        # One segment more than any route has is enough to see that a path is too long.
        start, *segments = path.split("/", self._depth + 1)
        if start or not segments:
            return
        count = len(segments)
        waiting = [(self._root, 0)]
        while waiting:
            node, at = waiting.pop()
            while at < count:
                segment = segments[at]
                at += 1
                # Nothing is no value of a parameter.
                parameter = node.parameter if segment else None
                following = node.literals.get(segment)
                if following is None:
                    if parameter is None:
                        break
                    following = parameter
                elif parameter is not None:
                    waiting.append((parameter, at))
                node = following
            else:
                if node.targets:
                    yield node.targets


def permission_of(context: RouteContext) -> str:
    """What the route's ``requires(...)`` asks for, wherever among its dependencies it stands."""
    calls = [dependant.call for dependant in _dependants_of(context)]
    found = {permission for call in calls if (permission := getattr(call, "permission", None))}
    if len(found) > 1:
        raise RouteClashError(f"{context.path} requires {' and '.join(sorted(found))}: name one")
    return found.pop() if found else ""


def is_fresh(context: RouteContext) -> bool:
    """Whether the route's ``requires(...)`` asks for a recent log-in."""
    return any(getattr(dependant.call, "fresh", False) for dependant in _dependants_of(context))


def _is_counted(context: RouteContext) -> bool:
    """Whether the route's ``requires(...)`` says nothing else."""
    return all(getattr(dependant.call, "counted", True) for dependant in _dependants_of(context))


def _query_of(context: RouteContext) -> dict[str, bool] | None:
    """The parameters that the route's functions declare; None for a route that declares nothing."""
    dependants = list(_dependants_of(context))
    if not dependants:
        return None
    found: dict[str, bool] = {}
    for dependant in dependants:
        for parameter in dependant.query_params:
            kind = parameter.field_info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                raise RouteClashError(f"{context.path} hides its parameters in a model")
            found[parameter.alias] = _is_list(kind)
    return found


def _is_list(kind: Any) -> bool:
    """Whether a list is among what the annotation allows."""
    return get_origin(kind) is list or any(_is_list(part) for part in get_args(kind))


def _dependants_of(context: RouteContext) -> Iterator[Dependant]:
    waiting: list[Dependant] = [one for one in [getattr(context, "dependant", None)] if one]
    while waiting:
        dependant = waiting.pop()
        yield dependant
        waiting += dependant.dependencies


def _refuse_hidden(method: str, shape: tuple[str, ...], rivals: Iterable[tuple[str, ...]]) -> None:
    """Refuse a route that the router would pass over for an earlier one that says less."""
    for other in rivals:
        first = next(n for n, (a, b) in enumerate(zip(shape, other, strict=True)) if a != b)
        if other[first] == "{}":
            late, early = "/" + "/".join(shape), "/" + "/".join(other)
            raise RouteClashError(f"{method} {late} must stand before {early}, which hides it")
