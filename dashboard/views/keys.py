"""Keys: what encrypts, signs and counts for this tenant's workflows, and how old it is."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Change, Column, Form, Input, ListPage
from dashboard.widgets import markup, table

_DAY: Final = 86_400
_SHOWN: Final = 20
_TYPES: Final = (
    ("aes256-gcm", "aes256-gcm: encrypts"),
    ("hmac-sha256", "hmac-sha256: message authentication codes"),
    ("ed25519", "ed25519: signatures"),
    ("ecdsa-p256", "ecdsa-p256: signatures"),
)


def budget(key: Any) -> str:
    """Return the newest version's operations against what it may do, in words."""
    if key.rotate_after_operations is None:
        return f"{key.operations:,}, no budget"
    share = key.operations / key.rotate_after_operations
    return f"{key.operations:,} of {key.rotate_after_operations:,} ({share:.0%})"


def standing(key: Any) -> str:
    """Return whether the key is in use, in a word."""
    if key.delete_at is not None:
        return "deleting"
    return "disabled" if key.disabled else "active"


def age_policy(key: Any) -> str:
    """Return after how long the key rotates, in words."""
    if key.rotate_after_seconds is None:
        return "never by age"
    days = key.rotate_after_seconds / _DAY
    return f"after {days:g} days" if days >= 1 else f"after {key.rotate_after_seconds} seconds"


def versions(key: models.KeyOut) -> None:
    """Draw the newest versions of an opened key."""
    found = state.current().api.list_key_versions(key.name, limit=_SHOWN)
    markup.section("Versions")
    table.draw(
        f"key-versions-{key.name}",
        f"Versions of {key.name}",
        [
            table.Column("number", "Version", "number"),
            table.Column("operations", "Operations", "number"),
            table.Column("created_at", "Made", "time"),
            table.Column("usable", "What it made"),
        ],
        [
            {
                "id": str(one.number),
                "number": str(one.number),
                "operations": f"{one.operations:,}",
                "created_at": markup.when(one.created_at),
                "usable": "holds" if one.usable else "does not hold any more",
            }
            for one in found.items
        ],
    )
    if found.next_below is not None:
        markup.note(f"Earlier versions than {found.next_below} are not shown.")
    newest = found.items[0].public_key if found.items else None
    if newest:
        markup.label("Public key of the newest version")
        st.code(newest, language=None)


def _new(*, name: str, type: str | None, days: int | None) -> models.KeyCreate:
    return msgspec.convert(
        {
            "name": name,
            "type": type or "aes256-gcm",
            "rotate_after_seconds": None if days is None else days * _DAY,
        },
        models.KeyCreate,
    )


def _saved(api: Api, name: str, body: models.KeyPut) -> models.KeyOut:
    """Change what the form has, and leave alone what it has not."""
    key = api.get_key(name).value
    rest = {"exportable": key.exportable, "disabled": key.disabled}
    return api.put_key(name, msgspec.structs.replace(body, **rest)).value


def _switch(api: Api, name: str) -> models.KeyOut:
    """Disable a key that is in use, or let it be used again."""
    key = api.get_key(name).value
    return api.put_key(
        name,
        models.KeyPut(
            rotate_after_seconds=key.rotate_after_seconds,
            rotate_after_operations=key.rotate_after_operations,
            min_decrypt_version=key.min_decrypt_version,
            exportable=key.exportable,
            disabled=not key.disabled,
        ),
    ).value


PAGE: Final = ListPage(
    key="keys",
    of=models.KeyOut,
    title="Keys",
    lead="What workflows encrypt and sign with. A key rotates by age and by what it has done.",
    noun="key",
    nothing="Make one, and encrypt with it from a workflow: the Crypto resource of the n8n node.",
    fetch=Api.list_keys,
    write="key:write",
    id="name",
    columns=(
        Column("name", "Name", "strong"),
        Column("type", "Type", "code"),
        Column("standing", "State", "badge", value=standing),
        Column("latest_version", "Version", "number"),
        Column("rotated_at", "Since", "time"),
        Column("budget", "Operations against budget", value=budget),
        Column("rotates_at", "Rotates", "time", none="by operations"),
    ),
    facts=(
        Column("age", "Rotates by age", value=age_policy),
        Column("min_decrypt_version", "Earliest version that holds"),
        Column("exportable", "May be exported", value=lambda it: "yes" if it.exportable else "no"),
        Column("created_at", "Created", "time"),
        Column("created_by", "Created by", "who"),
        Column("delete_at", "Destroyed", "time", none="never"),
    ),
    export=(
        "id", "name", "type", "latest_version", "min_decrypt_version", "operations",
        "rotate_after_operations", "rotate_after_seconds", "rotated_at", "rotates_at", "disabled",
        "exportable", "delete_at", "created_at", "created_by",
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="orders", help="Small letters, digits and hyphens"),
            Input("type", "What it does", "choice", options=lambda _: _TYPES, required=False),
            Input(
                "days", "Rotate after days", "number", required=False,
                help="Empty: never by age. By operations it rotates all the same",
            ),
        ),
        body=_new,
        call=Api.create_key,
        missing="It needs a name.",
        said="{0} is made.",
    ),
    change=Change(
        inputs=(
            Input("rotate_after_seconds", "Rotate after seconds", "number", required=False),
            Input("rotate_after_operations", "Rotate after operations", "number", required=False),
            Input("min_decrypt_version", "Earliest version that holds", "number"),
        ),
        body=models.KeyPut,
        call=_saved,
        missing="It needs an earliest version.",
        said="{0} is changed, effective at once.",
    ),
    below=versions,
    acts=(
        Act(
            key="rotate", label="Rotate now", icon=":material/autorenew:",
            call=Api.rotate_key, yes="Rotate this key", said="{0} has a new version.",
            ends=False, offered=lambda key: key.delete_at is None,
            will="{0} gets a new version, which does all that is done from then on. What earlier "
            "versions made still opens.",
        ),
        Act(
            key="disable", label="Disable", icon=":material/block:",
            call=_switch, yes="Disable this key", said="{0} is disabled.", ends=False,
            danger=True, offered=lambda key: standing(key) == "active",
            will="{0} refuses everything that would use it, at once, until you enable it. Nothing "
            "is lost.",
        ),
        Act(
            key="enable", label="Enable", icon=":material/check_circle:",
            call=_switch, yes="Enable this key", said="{0} is in use again.", ends=False,
            offered=lambda key: standing(key) == "disabled",
            will="{0} may be used again.",
        ),
        Act(
            key="restore", label="Call back", icon=":material/undo:",
            call=Api.restore_key, yes="Call this key back", said="{0} is in use again.",
            ends=False, offered=lambda key: key.delete_at is not None,
            will="{0} is not destroyed, and may be used again.",
        ),
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_key, yes="Delete this key", said="{0} is destroyed in 30 days.",
            ends=False, danger=True, offered=lambda key: key.delete_at is None,
            will="{0} refuses every use at once, and is destroyed in 30 days. Until then it can be "
            "called back; after that what it encrypted opens nowhere any more.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
