"""What known providers allow one account, as they document it: where our patience begins.

A relay whose host ends with the name starts within these limits; its settings may be stricter.
Whatever is wrong or missing here is learned from the relay's answers.
"""

from typing import Final, NamedTuple

from backend.kit.smtp._relay import Limits


class Provider(NamedTuple):
    """One row of the table."""

    name: str
    suffix: str
    limits: Limits


PROVIDERS: Final = (
    # "SMTP AUTH client submission": 3 concurrent connections, 30 messages a minute, 500 recipients.
    Provider("Microsoft 365", "smtp.office365.com", Limits(3, 0.5, None, 500)),
    Provider("Outlook.com", "smtp-mail.outlook.com", Limits(3, 0.5, None, 100)),
    # "Gmail sending limits": 100 recipients a message over SMTP.
    Provider("Gmail", "smtp.gmail.com", Limits(10, None, 100, 100)),
    Provider("Google Workspace relay", "smtp-relay.gmail.com", Limits(10, None, 100, 100)),
    # "Service quotas in Amazon SES": 50 recipients a message; the rate is each account's own.
    Provider("Amazon SES", ".amazonaws.com", Limits(10, None, None, 50)),
    # "Postmark's API": 50 recipients a message.
    Provider("Postmark", "smtp.postmarkapp.com", Limits(10, None, None, 50)),
)


def provider_of(host: str) -> Provider | None:
    """Who runs this host, if it is in the table."""
    name = host.lower().rstrip(".")
    return next((one for one in PROVIDERS if name.endswith(one.suffix)), None)


def limits_for(host: str, wanted: Limits) -> Limits:
    """``wanted`` within what the host's provider is known to allow."""
    provider = provider_of(host)
    return wanted if provider is None else wanted.within(provider.limits)
