"""Limits of the platform: what each tenant, or every tenant, may ask; for its administrators."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import EXPORT_LIMIT, Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.views.limits import (
    REFRESH_SECONDS,
    allowed,
    draw_change,
    draw_usage,
    of_a_day,
    whom,
)
from dashboard.widgets import markup, problems


def _tenant(limit: models.LimitOut) -> str:
    """Return the name of the tenant that a limit is for."""
    if limit.tenant_id is None:
        return "every tenant"
    return state.current().names.of(f"tenant:{limit.tenant_id}")


def _tenants(session: state.Session) -> list[tuple[str, str]]:
    found = session.api.list_tenants(limit=EXPORT_LIMIT).items
    return [("", "Every tenant"), *((one.id, one.name) for one in found)]


def usage() -> None:
    """Draw what one tenant uses of what it has, or what a tenant has that no limit names."""
    markup.section("In use")
    with problems.guard():
        names = dict(_tenants(state.current()))
        of = st.selectbox(
            "Of", list(names), format_func=names.__getitem__, key="platform-limits-of"
        )
        _live(of)
    markup.section("Set by the platform and by tenants")


@st.fragment(run_every=REFRESH_SECONDS)
def _live(tenant_id: str) -> None:
    with problems.guard():
        found = state.current().api.get_platform_limit_usage(tenant_id=tenant_id or None)
        draw_usage("platform-limits-usage", found)


def _change(limit: models.LimitOut) -> None:
    """Draw the form that changes an opened limit of the platform's own."""
    if limit.owner != "platform":
        return
    more = {"concurrency": "At the same time, 0 for no such limit"}
    if limit.kind == "route_class":
        more = {"cost": "One counts for, 0 for one"}
    draw_change("platform-limits", limit, "platform:write", more, _put)


def _put(limit: models.LimitOut, given: dict[str, Any]) -> None:
    body = models.PlatformLimitPut(**given)
    state.current().api.change_platform_limit(limit.id, body, if_match=f'"{limit.version}"')


def _create(api: Api, body: models.PlatformLimitCreate) -> models.LimitOut:
    return api.create_platform_limit(body)


def body_of(
    *,
    tenant_id: str | None,
    route_class: str | None,
    burst: int,
    refill: int,
    seconds: int,
    a_day: int | None,
    concurrency: int,
    cost: int | None,
) -> models.PlatformLimitCreate:
    """Make a request of the form's fields: all of one tenant, or of each, or a class of routes."""
    given: dict[str, Any] = {"cost": cost, "sustained": of_a_day(a_day)}
    if not route_class:
        given["concurrency"] = concurrency
    return models.PlatformLimitCreate(
        kind="route_class" if route_class else "tenant",
        name=route_class or "",
        tenant_id=tenant_id,
        requests=models.RateModel(burst=burst, refill=refill, seconds=seconds),
        **{name: value for name, value in given.items() if value is not None},
    )


PAGE: Final = ListPage(
    key="platform-limits",
    of=models.LimitOut,
    title="Platform limits",
    lead="What each tenant may ask at most; tenants narrow it for their callers.",
    noun="limit",
    nothing="What the platform's settings say holds for every tenant.",
    fetch=Api.list_platform_limits,
    write="platform:write",
    name=whom,
    notice=usage,
    columns=(
        Column("name", "Of", "strong", value=whom),
        Column("tenant_id", "Tenant", value=_tenant),
        Column("requests", "Requests", value=lambda one: allowed(one.requests)),
        Column("sustained", "Over longer", value=lambda one: allowed(one.sustained)),
        Column("bytes", "Bytes", value=lambda one: allowed(one.bytes, "bytes")),
        Column("concurrency", "At the same time"),
        Column("owner", "Set by", "badge"),
        Column("updated_at", "Since", "time"),
    ),
    facts=(Column("cost", "One counts for"), Column("updated_by", "Set by", "who")),
    export=("id", "tenant_id", "owner", "kind", "name", "route_class", "updated_at"),
    form=Form(
        inputs=(
            Input("tenant_id", "Tenant", "choice", required=False, options=_tenants),
            Input(
                "route_class", "Class of routes (optional)", example="emails", required=False,
                help="Each caller's use of it. Empty: all requests of the tenant together.",
            ),
            Input("burst", "Requests at once", "number", usual="4000"),
            Input("refill", "More requests", "number", usual="2000"),
            Input("seconds", "Every so many seconds", "number", usual="1"),
            Input(
                "a_day", "At most a day (optional)", "number", required=False,
                help="A second rate, over a longer time; both hold.",
            ),
            Input(
                "concurrency", "At the same time", "number", usual="500",
                help="Requests under way; not of a class of routes.",
            ),
            Input(
                "cost", "One counts for (optional)", "number", required=False,
                help="How many requests one of the class counts for, by every limit.",
            ),
        ),
        body=body_of,
        call=_create,
        missing="A limit needs its numbers.",
        said="The limit of {0} is set.",
        verb="Set",
    ),
    acts=(
        Act(
            key="remove", label="Remove", icon=":material/delete:",
            call=Api.delete_platform_limit, yes="Remove this limit",
            said="The limit of {0} is removed.",
            will="What every tenant has, or the settings say, holds again, at once and on every "
            "process. A limit that a tenant set itself is not the platform's to remove.",
        ),
    ),
    below=_change,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
