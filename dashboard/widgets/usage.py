"""What a tenant may and what it did: its quotas as meters, its days as bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import streamlit as st

from dashboard.client import models
from dashboard.widgets import charts, markup

QUOTAS: Final = {
    "requests_a_day": "Requests a day",
    "requests_a_month": "Requests a month",
    "emails_a_day": "E-mails a day",
    "emails_a_month": "E-mails a month",
    "jobs_running": "Jobs running at once",
    "jobs_waiting": "Jobs waiting",
    "storage_bytes": "Stored bytes",
    "members": "Members",
    "secrets": "Secrets",
    "secret_bytes": "Stored bytes of secrets",
}
_COUNTED: Final = (
    ("members", "Members"),
    ("clients", "API clients"),
    ("api_keys", "API keys"),
    ("jobs_waiting", "Jobs waiting"),
    ("jobs_running", "Jobs running"),
)
_DAYS: Final = (
    ("requests", "Requests", "#1FA97A"),
    ("emails_accepted", "E-mails accepted", "#5B8DEF"),
    ("emails_bounced", "E-mails bounced", "#E0555F"),
    ("jobs_ended", "Jobs ended", "#8B7CF0"),
)
DAYS: Final = {name: (label, color) for name, label, color in _DAYS}
"""Of what is counted by day, its name for people and its colour."""


def limited(quotas: Iterable[models.QuotaOut]) -> list[models.QuotaOut]:
    """Return the quotas that end somewhere."""
    return [one for one in quotas if one.limit is not None]


def meters(quotas: Iterable[models.QuotaOut]) -> None:
    """Draw how much of each is used."""
    markup.meters(_meter(one) for one in quotas)


def warn(quotas: Sequence[models.QuotaOut]) -> None:
    """Draw a sentence on the quota that is nearest its end, from 80 % of it on; else nothing."""
    nearing = [one for one in limited(quotas) if share(one) >= markup.WARNED_SHARE]
    if not nearing:
        return
    worst = max(nearing, key=share)
    reached = share(worst) >= 1
    name, words, _, _ = _meter(worst)
    rest = f" So are {len(nearing) - 1} more." if len(nearing) > 1 else ""
    word = "Quota reached" if reached else "Quota nearly reached"
    markup.status("red" if reached else "amber", word, f"{name}: {words}.{rest}")


def share(one: models.QuotaOut) -> float:
    """Return how much of a quota that ends somewhere is used; 1 is all."""
    limit, used = one.limit or 0, one.used or 0
    return used / limit if limit else 1.0


def _meter(one: models.QuotaOut) -> tuple[str, str, float, str]:
    words = f"{_amount(one.quota, one.used or 0)} of {_amount(one.quota, one.limit or 0)}"
    if one.resets_at is not None:
        words += f", anew at {markup.moment(one.resets_at)}"
    used = share(one)
    warning = "reached" if used >= 1 else f"{used:.0%}" if used >= markup.WARNED_SHARE else ""
    return QUOTAS.get(one.quota, one.quota), words, used, warning


def _amount(quota: str, number: int) -> str:
    return markup.size(number) if quota.endswith("_bytes") else f"{number:,}"


def is_number(text: str) -> bool:
    """Return whether this is how many there may be."""
    return text.isascii() and text.isdigit()


def counts(usage: models.UsageOut) -> list[tuple[str, str]]:
    """Return what there is now, as facts."""
    return [
        *((label, f"{usage.now[name]:,}") for name, label in _COUNTED if name in usage.now),
        ("Stored", markup.size(usage.now.get("storage_bytes"))),
    ]


def days(usage: models.UsageOut) -> None:
    """Draw what was done on each day, which begins and ends in UTC."""
    markup.section("Usage by day, in UTC")
    if not usage.days:
        markup.empty("No usage yet", "Requests, mail and jobs of the last 30 days appear here.")
        return
    dates = [date.fromisoformat(day.day) for day in usage.days]
    for pair in (_DAYS[:2], _DAYS[2:]):
        for column, (name, label, color) in zip(st.columns(2), pair, strict=True):
            values = [int(getattr(day, name)) for day in usage.days]
            with column:
                charts.by_day(f"usage-{name}", label, dates, values, color=color)
