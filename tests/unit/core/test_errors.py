"""Codes of problems: unique, and in the form that documents and clients rely on."""

import re

import pytest

import backend.app  # noqa: F401 - defines every error of the platform
from backend.core.errors import AppError, ConflictError, NotFoundError

MANAGERS = "config|logging|tracing|metrics|security|tenant|orchestrator|email|gateway|dashboard"
TOOLS = "outbound"


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
            if manager is not None and not code.startswith("idempotency"):
                assert re.fullmatch(rf"{manager[1]}\.[a-z][a-z0-9_]*", code), code
            else:
                assert re.fullmatch(rf"((?:{MANAGERS}|{TOOLS})\.)?[a-z][a-z0-9_]*", code), code
            assert 400 <= kind.status <= 599, code
            assert kind.title, code
