"""Templates that people write, filled in within bounds: a language without calls, and a budget.

Compiling and rendering take up to a second of hostile input and never wait: run them in a thread.
"""

from backend.kit.templating._sandbox import (
    Rendered,
    TemplateSource,
    check_source,
    find_variables,
    render,
)
from backend.kit.templating._values import Purse
from backend.kit.templating.errors import (
    TemplateInvalidError,
    TemplatesTooCostlyError,
    TemplateVariablesError,
)

__all__ = [
    "Purse",
    "Rendered",
    "TemplateInvalidError",
    "TemplateSource",
    "TemplateVariablesError",
    "TemplatesTooCostlyError",
    "check_source",
    "find_variables",
    "render",
]
