"""Route templates of requests that no router has seen, for metrics, logs, spans and the trail.

What the pipeline refuses or replays never reaches a router, and those are the requests that an
operator looks for first: which route is limited, which one strangers try.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

UNKNOWN: Final = "(none)"
"""The template of a path that is no route's: the path itself would be a series for each typo."""

# Longer than any address of ours. A stranger's may have sixty thousand characters, and a route
# whose parameter is followed by more looks at them twice: a millisecond for each refusal.
_MAX_CHARACTERS: Final = 1000


class Templates:
    """The templates of both planes, found as the routers themselves would find them."""

    def __init__(self, routes: Sequence[BaseRoute], paths: Collection[str]) -> None:
        self._paths = frozenset(paths)
        self._routes: list[tuple[re.Pattern[str], Collection[str], str]] = [
            (route.path_regex, route.methods or (), route.path_format)
            for route in iter_route_contexts(routes)
            if route.path_format
        ]

    def find(self, method: str, path: str) -> str:
        """The template that the request would have been routed to, or :data:`UNKNOWN`.

        As in the router, the first route that takes the path and the method wins; the first that
        takes the path alone is whose 405 it would have been. Costs some ten microseconds and
        keeps nothing: a cache by path would be filled by whoever invents paths.
        """
        if path in self._paths:
            return path
        if len(path) > _MAX_CHARACTERS:
            return UNKNOWN
        found = UNKNOWN
        for pattern, methods, template in self._routes:
            if pattern.match(path):
                if method in methods:
                    return template
                if found == UNKNOWN:
                    found = template
        return found
