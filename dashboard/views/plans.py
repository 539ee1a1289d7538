"""Plans: what tenants may have and use, for who sells or grants it."""

from __future__ import annotations

from typing import Final

import msgspec
import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.widgets import confirm, problems, usage

_UNLIMITED: Final = "unlimited"
_EMPTY: Final = "Empty or 0: no limit."


class _Plan(msgspec.Struct, frozen=True):
    """What the form asks for."""

    name: str
    quotas: dict[str, int]


def _body(*, name: str, **quotas: int | None) -> _Plan:
    return _Plan(name, {quota: most for quota, most in quotas.items() if most is not None})


def _create(api: Api, body: _Plan) -> models.PlanOut:
    return api.put_plan(body.name, models.PlanPut(quotas=body.quotas))


def _words(plan: models.PlanOut) -> str:
    found = [
        f"{label}: {plan.quotas[quota]:,}"
        for quota, label in usage.QUOTAS.items()
        if quota in plan.quotas
    ]
    return "; ".join(found) or "no limit"


def _change(plan: models.PlanOut) -> None:
    """Draw the form that changes an opened plan, for all the tenants that have it."""
    session = state.current()
    if plan.name == _UNLIMITED or not session.can("platform:write"):
        return
    with problems.guard(), st.form(f"plans-change-{plan.name}", border=False):
        # Not a field of numbers: one that has a number cannot be emptied any more.
        given = {
            quota: st.text_input(
                label,
                str(plan.quotas.get(quota, "")),
                key=f"plans-{quota}-{plan.name}",
                placeholder="no limit",
            ).strip()
            for quota, label in usage.QUOTAS.items()
        }
        if not st.form_submit_button("Change plan"):
            return
        if wrong := [quota for quota, text in given.items() if text and not usage.is_number(text)]:
            st.warning(f"{usage.QUOTAS[wrong[0]]}: give a number, or nothing for no limit.")
            return
        quotas = {quota: int(text) for quota, text in given.items() if text}
        session.api.put_plan(plan.name, models.PlanPut(quotas=quotas))
        confirm.say_after_rerun(f"{plan.name} is changed, for all its tenants at once.")
        st.rerun()


PAGE: Final = ListPage(
    key="plans",
    of=models.PlanOut,
    title="Plans",
    lead="What the tenants of each plan may have and use; a tenant's page can say otherwise.",
    noun="plan",
    nothing="Create the first one above.",
    fetch=Api.list_plans,
    write="platform:write",
    id="name",
    columns=(
        Column("name", "Name", "strong"),
        Column("quotas", "Quotas", value=_words),
        Column("updated_at", "Since", "time"),
    ),
    export=("name", "quotas", "updated_at"),
    form=Form(
        inputs=(
            Input(
                "name", "Name", example="starter",
                help="A plan that has this name already is changed, for all its tenants.",
            ),
            *(
                Input(quota, f"{label} (optional)", "number", required=False, help=_EMPTY)
                for quota, label in usage.QUOTAS.items()
            ),
        ),
        body=_body,
        call=_create,
        missing="A plan needs a name.",
        said="The plan {0} is saved.",
        verb="Save",
    ),
    below=_change,
    acts=(
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_plan, yes="Delete this plan", said="{0} is deleted.",
            offered=lambda plan: plan.name != _UNLIMITED,
            will="{0} can be given to no tenant any more. A plan that a tenant has is not deleted.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
