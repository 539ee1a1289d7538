"""Templates that people write, filled in within bounds: a language without calls, and a budget.

Compiling and rendering take up to seconds of hostile input and never wait: run them in a thread.
"""

from backend.kit.templating._sandbox import Purse, Rendered, TemplateSource, check_source, render
from backend.kit.templating.errors import TemplateInvalidError, TemplateVariablesError

__all__ = [
    "Purse",
    "Rendered",
    "TemplateInvalidError",
    "TemplateSource",
    "TemplateVariablesError",
    "check_source",
    "render",
]
