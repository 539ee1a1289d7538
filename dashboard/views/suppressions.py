"""Suppressions: addresses that this tenant never mails."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Choice, Column, Form, Input, ListPage, Upload, Words

PAGE: Final = ListPage(
    key="suppressions",
    of=models.SuppressionOut,
    title="Suppressions",
    lead="Addresses that are not mailed, whoever sends.",
    noun="suppression",
    nothing="Add whoever asked not to be mailed, or import a list.",
    fetch=Api.list_suppressions,
    write="suppression:write",
    name=lambda one: str(one.address),
    columns=(
        Column("address", "Address", "strong"),
        Column("reason", "Reason", value=lambda one: one.reason.replace("_", " ")),
        Column("comment", "Comment"),
        Column("expires_at", "Expires", "time", none="never"),
        Column("created_at", "Created", "time"),
    ),
    facts=(Column("created_by", "Created by", "who"),),
    filters=(
        Words("address", "Address", "Address, or ada*", width=320, addresses=True),
        Choice("reason", "Reason", ("manual", "import", "hard_bounce")),
    ),
    form=Form(
        inputs=(
            Input("address", "Address", example="ada@example.test"),
            Input("comment", "Comment (optional)", example="Asked on the phone", required=False),
            Input("expires_at", "Last day (optional)", "last_day", required=False),
        ),
        body=lambda comment, **given: models.SuppressionCreate(comment=comment or "", **given),
        call=Api.add_suppression,
        missing="It needs an address.",
        said="{0} is not mailed any more.",
        verb="Add",
        button="Add address",
    ),
    upload=Upload(
        note="Columns address, comment, expires_at; only the first is needed. All of the file is "
        "taken, or none of it. Addresses that are on the list stay as they are.",
        call=Api.import_suppressions,
        said=lambda found: f"{found.added:,} added, {found.known:,} were on the list.",
    ),
    acts=(
        Act(
            key="remove", label="Remove", icon=":material/undo:",
            call=Api.remove_suppression, yes="Remove from the list",
            said="{0} is mailed again.",
            will="{0} is mailed again from the next message on. What was held back is not sent.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
