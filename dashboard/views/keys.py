"""Keys: what encrypts, signs and counts for this tenant's workflows, and how old it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Change, Column, Form, Input, ListPage
from dashboard.widgets import markup, table

_DAY: Final = 86_400
_SHOWN: Final = 20
_SOON: Final = 0.9
_IN_USE: Final = frozenset({"active", "due soon"})
# Random nonces: so many encryptions under one version, and then none (NIST SP 800-38D, 8.3).
_HARD_STOP: Final = 2**32
_OPENERS: Final = 200
_POLICY: Final = (
    "rotate_after_seconds",
    "rotate_after_operations",
    "min_decrypt_version",
    "exportable",
    "disabled",
)
_TYPES: Final = (
    ("aes256-gcm", "aes256-gcm: encrypts"),
    ("hmac-sha256", "hmac-sha256: message authentication codes"),
    ("ed25519", "ed25519: signatures"),
    ("ecdsa-p256", "ecdsa-p256: signatures"),
)
_DAYS: Final = "0: never by age. By operations it rotates all the same"


def limit(key: Any) -> int | None:
    """Return how many operations the newest version may do, by policy or by its cipher."""
    if key.rotate_after_operations is not None:
        return int(key.rotate_after_operations)
    return _HARD_STOP if key.type == "aes256-gcm" else None


def budget(key: Any) -> str:
    """Return the newest version's operations against what it may do, in words."""
    most = limit(key)
    if most is None:
        return f"{key.operations:,}, no budget"
    share = key.operations / most
    said = "<1%" if 0 < share < 0.01 else f"{share:.0%}"
    return f"{key.operations:,} of {most:,} ({said})"


def age_share(key: Any, now: datetime) -> float:
    """Return how much of its life the newest version has had; of one that lives on, nothing."""
    if key.rotates_at is None:
        return 0.0
    life = (key.rotates_at - key.rotated_at).total_seconds()
    return float((now - key.rotated_at).total_seconds() / life)


def standing(key: Any) -> str:
    """Return whether the key is in use, and whether a new version is near, in a word or two."""
    if key.delete_at is not None:
        return "deleting"
    if key.disabled:
        return "disabled"
    most = limit(key)
    used = key.operations / most if most else 0.0
    return "due soon" if max(used, age_share(key, markup.now())) >= _SOON else "active"


def age_policy(key: Any) -> str:
    """Return after how long the key rotates, in words."""
    if key.rotate_after_seconds is None:
        return "never by age"
    days = key.rotate_after_seconds / _DAY
    return f"after {days:g} days" if days >= 1 else f"after {key.rotate_after_seconds} seconds"


def rotates(key: Any) -> str:
    """Return when the next version comes, in words where no time is known."""
    if key.delete_at is not None:
        return "not any more"
    if key.rotates_at is not None:
        return markup.when(key.rotates_at)
    return "by hand only" if key.rotate_after_operations is None else "by operations"


def _life(key: models.KeyOut) -> None:
    """Draw how much of its operations and of its time the newest version has used."""
    rows = []
    most = limit(key)
    if most is not None:
        stops = key.rotate_after_operations is None
        share = key.operations / most
        warning = ("stops soon: rotate it" if stops else "rotates soon") if share >= _SOON else ""
        rows.append((f"Operations of version {key.latest_version}", budget(key), share, warning))
    if key.rotates_at is not None:
        now = markup.now()
        share = age_share(key, now)
        words = f"{markup.age(key.rotated_at, now)} of {age_policy(key).removeprefix('after ')}"
        rows.append(
            (
                f"Age of version {key.latest_version}",
                words,
                share,
                "rotates soon" if share >= _SOON else "",
            )
        )
    if rows:
        markup.meters(rows)
    markup.note(
        "Operations are counted as processes reserve them, in blocks: there were never more than "
        "this figure says."
    )


def below(key: models.KeyOut) -> None:
    """Draw how much of its life an opened key has had, and its newest versions."""
    _life(key)
    found = state.current().api.list_key_versions(key.name, limit=_SHOWN)
    markup.section("Versions")
    table.draw(
        f"key-versions-{key.name}",
        f"Versions of {key.name}",
        [
            table.Column("number", "Version", "strong"),
            table.Column("usable", "What it made"),
            table.Column("operations", "Operations", "number"),
            table.Column("created_at", "Made", "time"),
            table.Column("opened", "Opened last", "time"),
        ],
        [
            {
                "id": str(one.number),
                "number": str(one.number),
                "operations": f"{one.operations:,}",
                "created_at": markup.when(one.created_at),
                "opened": markup.when(one.last_opened_at),
                "usable": "is accepted" if one.usable else "is refused",
            }
            for one in found.items
        ],
    )
    if found.next_below is not None:
        markup.note(f"Earlier versions than {found.next_below} are not shown.")
    openings(key)
    newest = found.items[0].public_key if found.items else None
    if newest:
        markup.label("Public key of the newest version")
        # Wrapped: a part that scrolls sideways is out of reach of the keyboard.
        st.code(newest, language=None, wrap_lines=True)


def openings(key: models.KeyOut) -> None:
    """Draw who still opens what earlier versions made."""
    session = state.current()
    found = session.api.list_key_openings(key.name, limit=_OPENERS).items
    behind = [one for one in found if one.version < key.latest_version]
    if not behind:
        return
    markup.section("Who opens what earlier versions made")
    table.draw(
        f"key-openings-{key.name}",
        f"Callers that open what earlier versions of {key.name} made",
        [
            table.Column("actor", "Caller", "strong"),
            table.Column("version", "Version", "number"),
            table.Column("last_at", "Last", "time"),
        ],
        [
            {
                "id": f"{one.version}-{one.actor}",
                "actor": session.names.of(one.actor),
                "version": str(one.version),
                "last_at": markup.when(one.last_at),
            }
            for one in behind
        ],
    )
    markup.note(
        "They keep ciphertexts or signatures of those versions. Have them rewrapped before you "
        "raise the earliest version that is accepted."
    )


def _saved(api: Api, name: str, body: models.KeyPut) -> models.KeyOut:
    """Change what the form has, and leave alone what it has not."""
    key = api.get_key(name).value
    rest = {"exportable": key.exportable, "disabled": key.disabled}
    return api.put_key(name, msgspec.structs.replace(body, **rest)).value


def _policy(key: models.KeyOut, **changed: Any) -> models.KeyPut:
    """Return a key's policy as it is, but for what is changed."""
    kept = {name: getattr(key, name) for name in _POLICY}
    return models.KeyPut(**(kept | changed))


def _end_earlier(api: Api, name: str) -> models.KeyOut:
    """Let only what the newest version made hold, whoever still opens the rest."""
    key = api.get_key(name).value
    body = _policy(key, min_decrypt_version=key.latest_version, even_if_used=True)
    return api.put_key(name, body).value


def _switch(api: Api, name: str) -> models.KeyOut:
    """Disable a key that is in use, or let it be used again."""
    key = api.get_key(name).value
    return api.put_key(name, _policy(key, disabled=not key.disabled)).value


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
        Column("age", "Its age", value=lambda key: markup.age(key.rotated_at, markup.now())),
        Column("budget", "Operations of budget", value=budget),
        Column("rotates", "Rotates", value=rotates),
    ),
    facts=(
        Column("policy", "Rotates by age", value=age_policy),
        Column("rotated_at", "Rotated", "time"),
        Column("min_decrypt_version", "Earliest version accepted"),
        Column("exportable", "May be exported", value=lambda it: "yes" if it.exportable else "no"),
        Column("created_at", "Created", "time"),
        Column("created_by", "Created by", "who"),
        Column("delete_at", "To be destroyed", "time", none="not planned"),
    ),
    export=(
        "id", "name", "type", "latest_version", "min_decrypt_version", "operations",
        "rotate_after_operations", "rotate_after_seconds", "rotated_at", "rotates_at", "disabled",
        "exportable", "delete_at", "created_at", "created_by",
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="orders", help="Small letters, digits and hyphens"),
            Input(
                "type", "What it does", "choice", options=lambda _: _TYPES, usual="aes256-gcm",
                help="For ever: another type takes another key",
            ),
            Input(
                "rotate_after_seconds", "Rotate after days", "days", required=False, help=_DAYS,
            ),
        ),
        body=models.KeyCreate,
        call=Api.create_key,
        missing="It needs a name and a type.",
        said="{0} is made.",
    ),
    change=Change(
        inputs=(
            Input(
                "rotate_after_seconds", "Rotate after days", "days", required=False, help=_DAYS,
            ),
            Input(
                "rotate_after_operations", "Rotate after operations", "number", required=False,
                help="0: no budget. A key that encrypts stops at 4,294,967,296 then",
            ),
            Input(
                "min_decrypt_version", "Earliest version accepted", "number",
                help="What earlier versions encrypted or signed is refused from then on: rewrap "
                "it first. Set it lower again, and it is accepted again",
            ),
        ),
        body=models.KeyPut,
        call=_saved,
        missing="It needs an earliest version.",
        said="{0} is changed, effective at once.",
    ),
    below=below,
    acts=(
        Act(
            key="rotate", label="Rotate now", icon=":material/autorenew:",
            call=Api.rotate_key, yes="Rotate this key", said="{0} has a new version.",
            ends=False, offered=lambda key: key.delete_at is None,
            will="{0} gets a new version, which does all that is done from then on. What earlier "
            "versions made still opens.",
        ),
        Act(
            key="end-earlier", label="End earlier versions", icon=":material/history_toggle_off:",
            call=_end_earlier, yes="End earlier versions", said="{0} holds by its newest version.",
            ends=False, danger=True,
            offered=lambda key: key.min_decrypt_version < key.latest_version
            and key.delete_at is None,
            will="What earlier versions of {0} made does not open or verify any more, at once and "
            "for everybody, whoever still uses it. An earlier version can be let in again.",
        ),
        Act(
            key="disable", label="Disable", icon=":material/block:",
            call=_switch, yes="Disable this key", said="{0} is disabled.", ends=False,
            danger=True, offered=lambda key: standing(key) in _IN_USE,
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
