"""What can go wrong with a template. The codes are those that version 1 of the API promises."""

from typing import ClassVar

from backend.core.errors import InvalidInputError


class TemplateInvalidError(InvalidInputError):
    """The template itself is wrong, forbidden or too expensive; other variables cannot help."""

    code: ClassVar[str] = "email.template_invalid"
    title: ClassVar[str] = "The template is not valid"


class TemplatesTooCostlyError(TemplateInvalidError):
    """All templates of a request take too much together: nothing of it is done."""


class TemplateVariablesError(InvalidInputError):
    """The template is sound but cannot be rendered with these variables."""

    code: ClassVar[str] = "email.template_variables"
    title: ClassVar[str] = "The template's variables are not valid"
