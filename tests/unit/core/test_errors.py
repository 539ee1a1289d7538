"""Codes of problems: unique, and in the form that documents and clients rely on."""

import re

import pytest

import backend.app  # noqa: F401 - defines every error of the platform
from backend.core.errors import AppError, ConflictError, NotFoundError

MANAGERS = (
    "config|logging|tracing|metrics|security|tenant|orchestrator|email|identity|gateway|dashboard"
)
TOOLS = "outbound|otlp"

# Version 1 published these when their rules stood in another room; a new one is named by its own.
MOVED = {
    "gateway.client_not_found": "identity",
    "gateway.login_refused": "identity",
    "gateway.token_without_tenant": "identity",
    "gateway.too_many_failures": "identity",
}


class TestAppError:
    def test_refuses_a_code_that_stands_for_something_else(self):
        with pytest.raises(TypeError, match=r"reuses code 'tenant\.slug_taken'"):
            type("OtherError", (ConflictError,), {"code": "tenant.slug_taken"})

    def test_lets_a_subclass_keep_its_parents_code(self):
        class GoneError(NotFoundError):
            pass

        assert GoneError.code == "not_found"
        assert AppError.registry["not_found"] is NotFoundError

    def test_every_code_names_its_manager_or_is_the_platforms_own(self):
        for code, kind in AppError.registry.items():
            manager = re.match(r"backend\.managers\.(\w+)\.", kind.__module__)
            if code in MOVED:
                assert manager is not None, code
                assert manager[1] == MOVED[code], code
            elif manager is not None:
                assert re.fullmatch(rf"{manager[1]}\.[a-z][a-z0-9_]*", code), code
            else:
                assert re.fullmatch(rf"((?:{MANAGERS}|{TOOLS})\.)?[a-z][a-z0-9_]*", code), code
            assert 400 <= kind.status <= 599, code
            assert kind.title, code
