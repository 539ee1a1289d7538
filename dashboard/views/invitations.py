"""Invitations: who may become a member, and who has."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage

LINK: Final = (("Link for the invited person", "link"),)
SHOWN: Final = (
    "{0} is invited",
    (
        "The link is on its way by mail. Where mail does not arrive, hand it over yourself: it is "
        "shown this once, and works for this person alone."
    ),
)
FORM: Final = Form(
    inputs=(
        Input("email", "E-mail", example="ada@example.test"),
        Input("role", "Role", "role", usual="viewer"),
        Input("name", "Name (optional)", example="Ada Lovelace", required=False),
    ),
    body=models.InvitationCreate,
    call=Api.create_invitation,
    missing="An invitation needs an e-mail address and a role.",
    said="{0} is invited. They are a member once they accept.",
    shows=LINK,
    verb="Send",
    button="Invite",
    icon=":material/person_add:",
)  # fmt: skip

PAGE: Final = ListPage(
    key="invitations",
    of=models.InvitationOut,
    title="Invitations",
    lead="Who is asked to join this tenant. A link works once, and for whom it was sent to.",
    noun="invitation",
    nothing="Invite the first person.",
    fetch=Api.list_invitations,
    write="member:write",
    name=lambda item: item.name or item.email,
    columns=(
        Column("email", "E-mail", "strong"),
        Column("role", "Role"),
        Column("state", "State", "badge"),
        Column("expires_at", "Link works until", "time"),
        Column("invited_by", "Invited by", "who"),
    ),
    facts=(
        Column("name", "Name"),
        Column("created_at", "Invited", "time"),
        Column("accepted_at", "Accepted", "time", none="not yet"),
    ),
    form=FORM,
    shown=SHOWN,
    acts=(
        Act(
            key="resend", label="Send again", icon=":material/forward_to_inbox:",
            call=Api.resend_invitation, yes="Send a new link", shows=LINK, ends=False,
            offered=lambda item: item.state in {"open", "expired"},
            will="{0} gets a new link, which works for as long as the first one did. The old link "
            "stops working at once.",
        ),
        Act(
            key="revoke", label="Revoke", icon=":material/block:",
            call=Api.revoke_invitation, yes="Revoke this invitation", ends=False, danger=True,
            said="{0} is not invited any more.",
            offered=lambda item: item.state in {"open", "expired"},
            will="The link stops working at once, and {0} cannot join by it.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
