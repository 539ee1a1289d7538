"""Every operation of the n8n node names a path of the API's OpenAPI document."""

import re
from pathlib import Path

import pytest

RESOURCES = Path(__file__).resolve().parents[2] / "n8n-nodes/nodes/EmailSender/resources"
ROUTE = re.compile(r"^export const route = '(\S+) (\S+)';$", re.MULTILINE)
EVERYTHING = ("*", "/api/v1/*")
ROUTES = {
    f"{file.parent.name}.{file.stem}": (method, path)
    for file in sorted(RESOURCES.glob("*/*.ts"))
    for method, path in ROUTE.findall(file.read_text(encoding="utf-8"))
}


def without_names(path: str) -> str:
    """A parameter is its place; what the two sides call it is their own affair."""
    return re.sub(r"\{[^}]*\}", "{}", path)


class TestRoutes:
    def test_are_found_where_the_node_keeps_them(self):
        assert {"email.send", "email.get", "email.list"} <= ROUTES.keys()
        assert {"job.get", "job.cancel", "job.retry"} <= ROUTES.keys()

    @pytest.mark.parametrize("operation", [name for name in ROUTES if ROUTES[name] != EVERYTHING])
    def test_stand_in_the_openapi_document(self, openapi, operation):
        method, path = ROUTES[operation]
        offered = {
            (verb.upper(), without_names(template))
            for template, verbs in openapi["paths"].items()
            for verb in verbs
        }
        assert (method, without_names(path)) in offered

    def test_are_free_for_the_custom_call_only(self):
        free = [name for name, route in ROUTES.items() if route == EVERYTHING]
        assert free == ["customApiCall.call"]
