"""What a message costs before it is written, done for a request and a job alike."""

from collections.abc import Sequence

from backend.core.context import Scope
from backend.core.database import Database
from backend.managers.email._values import Draft, Prepared
from backend.managers.email.manager import EmailManager


async def prepare(
    emails: EmailManager, database: Database, scope: Scope, drafts: Sequence[Draft]
) -> list[Prepared]:
    """Messages ready for :meth:`EmailManager.queue_emails`; in transactions of its own.

    Raises:
        AppError: As for :meth:`EmailManager.prepare_emails`.
    """
    templates = {}
    if names := {draft.template for draft in drafts if draft.template}:
        async with database.read(scope) as tx:
            templates = await emails.templates.load_sources(tx, names)
    prepared = await emails.prepare_emails(scope.tenant_id, drafts, templates)
    if not any(one.is_large for one in prepared):
        return prepared
    async with database.transaction(scope) as tx:  # it may have to make the key
        keyring = await emails.keyring(tx)
    return await emails.seal_large(scope.tenant_id, prepared, keyring)
