"""Users: everybody who logs in to this platform, for its administrators."""

from typing import Final

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Edit, Input, ListPage, Words
from dashboard.widgets import markup


def _state(item: models.UserOut) -> str:
    return "disabled" if item.disabled else "active"


def of_platform(session: state.Session) -> list[tuple[str, str]]:
    """Return the roles that there are on the platform itself, as a field offers them."""
    return [(one.name, one.name) for one in session.api.list_platform_roles().items]


def _roles(session: state.Session) -> list[tuple[str, str]]:
    return [("", "none"), *of_platform(session)]


def _places(item: models.UserOut) -> None:
    """Draw the tenants that the opened person belongs to."""
    found = state.current().api.get_user(item.id).tenants
    markup.facts(
        [(one.name, f"{one.role}, kept out there" if one.disabled else one.role) for one in found]
        or [("Tenants", "none")]
    )


PAGE: Final = ListPage(
    key="users",
    of=models.UserOut,
    title="Users",
    lead="Everybody who logs in to this platform, in whatever tenant.",
    noun="user",
    nothing="People appear when they accept an invitation.",
    fetch=Api.list_users,
    write="platform:write",
    name=lambda item: item.name or item.email,
    filters=(Words("q", "E-mail or name", "ada@example.test"),),
    columns=(
        Column("name", "Name", "strong"),
        Column("email", "E-mail"),
        Column("state", "State", "badge", value=_state),
        Column("created_at", "Since", "time"),
    ),
    facts=(
        Column(
            "platform_role", "Role on the platform", none="none",
        ),
    ),
    export=("id", "email", "name", "platform_role", "disabled", "created_at"),
    below=_places,
    edits=(
        Edit(
            field=Input(
                "platform_role", "Role on the platform", "choice", options=_roles, required=False,
            ),
            body=models.PlatformRolePut, call=Api.set_platform_role,
            said="{0} has another role on the platform now.",
        ),
    ),
    acts=(
        Act(
            key="disable", label="Disable", icon=":material/person_off:",
            call=Api.disable_user, yes="Disable this person", said="{0} is kept out.",
            offered=lambda item: not item.disabled, ends=False, danger=True,
            will="{0} is logged out everywhere at once and cannot log in again, in any tenant. "
            "Nothing of theirs is deleted; enabling undoes it.",
        ),
        Act(
            key="reset-factor", label="Reset second factor", icon=":material/phonelink_erase:",
            call=Api.reset_totp, yes="Take the second factor away", ends=False, danger=True,
            said="{0} has no second factor any more.",
            will="For somebody who lost it: {0} is logged out everywhere, and logs in with the "
            "password alone until they set up another one. Be sure that it is they who ask.",
        ),
        Act(
            key="enable", label="Enable", icon=":material/person_check:",
            call=Api.enable_user, yes="Enable this person", said="{0} may log in again.",
            offered=lambda item: item.disabled, ends=False,
            will="{0} may log in again, with the password and in the tenants they had.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
