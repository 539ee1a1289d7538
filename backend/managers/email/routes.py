"""HTTP face of e-mail: parse, call, shape. No rules here."""

from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from backend.core.context import Scope
from backend.core.database import Tx
from backend.core.errors import InvalidInputError, placed
from backend.core.paging import in_parts
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.files import CSV_ANSWER, CsvBody, csv_body, csv_file
from backend.http.large import LargeBodyRoute
from backend.http.openapi import ONLY_READS
from backend.http.pagination import (
    CreatedAfter,
    CreatedBefore,
    NamedPageQuery,
    Page,
    PageQuery,
    page_of,
)
from backend.http.reply import is_keyed, leads_to, problems, reply
from backend.http.schemas import view
from backend.kit.csv_table import write_rows
from backend.kit.mime import AttachmentsTooLargeError, InvalidAddressError, InvalidHeaderError
from backend.kit.templating import TemplateInvalidError, TemplateVariablesError
from backend.managers.email._preparing import prepare
from backend.managers.email._suppressions import Imported, Reason
from backend.managers.email._trials import ANSWER_SECONDS
from backend.managers.email._values import (
    NamedRelay,
    RelayChoice,
    RelayState,
    TenantEmailSettings,
)
from backend.managers.email.errors import (
    BusinessKeyConflictError,
    ContentForgottenError,
    EmailNotFoundError,
    EmailSettingsChangedError,
    EmailTestRunningError,
    RelayChangedError,
    RelayInUseError,
    RelayNotAllowedError,
    RelayNotFoundError,
    RelayUnknownError,
    RetentionError,
    SenderNotAllowedError,
    SuppressionExpiryError,
    SuppressionImportError,
    SuppressionNotFoundError,
    TemplateChangedError,
    TemplateNotFoundError,
    TemplatesTooLargeError,
    TooManyRecipientsError,
    TooManyRelaysError,
)
from backend.managers.email.manager import READ_CONTENT, SEND, EmailManager
from backend.managers.email.schemas import (
    AttachmentOut,
    BatchCreate,
    BatchOut,
    ContentOut,
    EmailCreate,
    EmailDetail,
    EmailOut,
    EmailRelayOut,
    EmailRelayPut,
    EmailSettingsOut,
    EmailSettingsPut,
    EmailTestCreate,
    EmailTestOut,
    ImportedOut,
    RelayName,
    RelayOut,
    RelayTestOut,
    SmtpOut,
    State,
    SubmittedOut,
    SuppressionCreate,
    SuppressionOut,
    TemplateName,
    TemplateOut,
    TemplatePreviewCreate,
    TemplatePreviewOut,
    TemplatePut,
    VariableOut,
)
from backend.managers.tenant import QuotaReachedError, StockReachedError

router = APIRouter(prefix="/api/v1", tags=["email"], route_class=LargeBodyRoute)
Emails = Annotated[EmailManager, manager_of(EmailManager)]
Sender = Annotated[Scope, requires(SEND)]
Reader = Annotated[Scope, requires("email:read")]
ContentReader = Annotated[Scope, requires(READ_CONTENT)]
NamePath = Annotated[TemplateName, Path(description="Template name", examples=["welcome"])]
RelayPath = Annotated[RelayName, Path(description="Relay's name", examples=["newsletter"])]
SettingsReader = Annotated[Scope, requires("email_settings:read")]
SettingsWriter = Annotated[Scope, requires("email_settings:write")]
RelayReader = Annotated[Scope, requires("email_relay:read")]
RelayWriter = Annotated[Scope, requires("email_relay:write")]
_NOT_SENDABLE = (
    TemplateNotFoundError,
    BusinessKeyConflictError,
    AttachmentsTooLargeError,
    InvalidInputError,
    InvalidAddressError,
    InvalidHeaderError,
    RelayUnknownError,
    SenderNotAllowedError,
    TemplateInvalidError,
    TemplateVariablesError,
    TooManyRecipientsError,
    QuotaReachedError,
    StockReachedError,
)
_EMAIL_ID: Final = {"email_id": "$response.body#/id"}
_JOB_ID: Final = {"job_id": "$response.body#/job_id"}
_ABOUT_EMAIL: Final = leads_to(
    get_email=_EMAIL_ID,
    read_content=_EMAIL_ID,
    get_job=_JOB_ID,
    cancel_job=_JOB_ID,
)
_NAMED: Final = {"name": "$request.path.name"}


@router.post(
    "/emails",
    status_code=202,
    response_model=SubmittedOut,
    responses={
        200: {"model": SubmittedOut, "description": "The first message under this business key"},
        202: _ABOUT_EMAIL,
        **problems(*_NOT_SENDABLE),
    },
)
async def send_email(
    request: Request, body: EmailCreate, scope: Sender, emails: Emails, db: Db
) -> Response:
    """Accept a message for delivery. It is durable when this answers."""
    prepared = await prepare(emails, db, scope, [body.draft()])

    async def send(tx: Tx) -> Response:
        (email,) = await emails.queue_emails(tx, prepared)
        return reply(request, tx, view(SubmittedOut, email), status=202 if email.first else 200)

    return await db.together(
        scope,
        send,
        contends=body.business_key is not None or is_keyed(request),
        size_bytes=prepared[0].size_bytes,
    )


@router.post(
    "/emails/batch",
    status_code=202,
    response_model=BatchOut,
    responses=problems(*_NOT_SENDABLE),
)
async def send_batch(
    request: Request, body: BatchCreate, scope: Sender, emails: Emails, db: Db
) -> Response:
    """Accept up to 500 messages, all or none."""
    drafts = [
        replace(message.draft(), place=("messages", number))
        for number, message in enumerate(body.messages)
    ]
    prepared = await prepare(emails, db, scope, drafts)
    async with db.transaction(scope) as tx:
        made = await emails.queue_emails(tx, prepared)
        answer = BatchOut(items=[view(SubmittedOut, email) for email in made])
        return reply(request, tx, answer, status=202)


@router.get("/emails")
async def list_emails(
    scope: Reader,
    emails: Emails,
    db: Db,
    page: PageQuery,
    state: State | None = None,
    recipient: Annotated[
        str | None, Query(max_length=1000, description="Address, or how it begins: ada@*")
    ] = None,
    business_key: Annotated[
        str | None, Query(max_length=200, description="Exact: one message has it, or none")
    ] = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> Page[EmailOut]:
    """List messages, newest first."""
    async with db.read(scope) as tx:
        rows = await emails.list_emails(
            tx,
            limit=page.limit,
            before_id=page.before_id,
            state=state,
            recipient=recipient,
            business_key=business_key,
            created_after=created_after,
            created_before=created_before,
        )
    return page_of(EmailOut, rows, page)


@router.get("/emails/{email_id}", responses=problems(EmailNotFoundError))
async def get_email(email_id: IdPath, scope: Reader, emails: Emails, db: Db) -> EmailDetail:
    """Get one message with its recipients and its way."""
    async with db.read(scope) as tx:
        email = await emails.get_email(tx, email_id)
        events = await emails.list_events(tx, email)
    return view(EmailDetail, email, timeline=events)


@router.get(
    "/emails/{email_id}/content", responses=problems(EmailNotFoundError, ContentForgottenError)
)
async def read_content(
    email_id: IdPath, scope: ContentReader, emails: Emails, db: Db
) -> ContentOut:
    """Read what the author wrote. Reading is audited."""
    async with db.transaction(scope) as tx:
        content = await emails.read_content(tx, email_id)
    attachments = [
        view(AttachmentOut, one, size_bytes=len(one.data)) for one in content.attachments
    ]
    return view(ContentOut, content, attachments=attachments)


@router.get("/email-templates")
async def list_templates(
    scope: Annotated[Scope, requires("email_template:read")],
    emails: Emails,
    db: Db,
    page: NamedPageQuery,
) -> Page[TemplateOut]:
    """List the templates by name."""
    async with db.read(scope) as tx:
        rows = await emails.templates.list(tx, limit=page.limit, after_name=page.after_name)
    return page_of(TemplateOut, rows, page)


@router.post(
    "/email-templates/preview",
    responses=problems(InvalidInputError, TemplateInvalidError, TemplateVariablesError),
    openapi_extra={ONLY_READS: True},
)
async def preview_template(
    body: TemplatePreviewCreate,
    scope: Annotated[Scope, requires("email_template:write")],
    emails: Emails,
) -> TemplatePreviewOut:
    """Fill in a template that need not be saved, and name its variables. Nothing is kept of it."""
    found = await emails.templates.preview(
        scope.tenant_id,
        subject=body.subject,
        text=body.text,
        html=body.html,
        variables=body.variables,
    )
    made = found.rendered
    return TemplatePreviewOut(
        subject=made.subject if made else None,
        text=made.text if made else None,
        html=made.html if made else None,
        variables=[VariableOut(name=name, required=need) for name, need in found.variables.items()],
        missing=list(found.missing),
    )


@router.get("/email-templates/{name}", responses=problems(TemplateNotFoundError))
async def get_template(
    response: Response,
    name: NamePath,
    scope: Annotated[Scope, requires("email_template:read")],
    emails: Emails,
    db: Db,
) -> TemplateOut:
    """Get one template. The ETag goes into If-Match when changing it."""
    async with db.read(scope) as tx:
        template = await emails.templates.get(tx, name)
    response.headers["ETag"] = etag(template.version)
    return view(TemplateOut, template)


@router.put(
    "/email-templates/{name}",
    responses={
        200: leads_to(get_template=_NAMED, delete_template=_NAMED),
        **problems(
            TemplateChangedError,
            InvalidInputError,
            TemplateInvalidError,
            TemplatesTooLargeError,
        ),
    },
)
async def put_template(
    response: Response,
    name: NamePath,
    body: TemplatePut,
    scope: Annotated[Scope, requires("email_template:write")],
    emails: Emails,
    db: Db,
    if_match: IfMatch = None,
) -> TemplateOut:
    """Create or replace a template; it must compile in the sandbox."""
    expected = expected_version(if_match, TemplateChangedError)
    checked = await emails.templates.check(
        scope.tenant_id, subject=body.subject, text=body.text, html=body.html
    )
    async with db.transaction(scope) as tx:
        made = await emails.templates.put(tx, name=name, checked=checked, expected_version=expected)
    response.headers["ETag"] = etag(made.version)
    return view(TemplateOut, made)


@router.delete(
    "/email-templates/{name}",
    status_code=204,
    responses=problems(TemplateNotFoundError),
)
async def delete_template(
    name: NamePath,
    scope: Annotated[Scope, requires("email_template:write")],
    emails: Emails,
    db: Db,
) -> None:
    """Delete a template."""
    async with db.transaction(scope) as tx:
        await emails.templates.delete(tx, name)


@router.get("/email-settings")
async def get_settings(
    response: Response,
    scope: SettingsReader,
    emails: Emails,
    db: Db,
) -> EmailSettingsOut:
    """Get how the tenant sends. The ETag goes into If-Match when changing it."""
    async with db.read(scope) as tx:
        found = await emails.email_settings.get(tx)
        relay = await emails.email_settings.show_relay(tx, found)
    response.headers["ETag"] = etag(found.version)
    return _settings(emails, found, relay)


@router.put(
    "/email-settings",
    responses=problems(
        EmailSettingsChangedError,
        InvalidInputError,
        InvalidAddressError,
        RelayNotAllowedError,
        RetentionError,
    ),
)
async def put_settings(
    response: Response,
    body: EmailSettingsPut,
    scope: SettingsWriter,
    emails: Emails,
    db: Db,
    if_match: IfMatch = None,
) -> EmailSettingsOut:
    """Replace how the tenant sends."""
    change, warning = body.change(), None
    if change.smtp is not None:
        warning = await emails.servers.judge(scope.tenant_id, change.smtp.host)
    async with db.transaction(scope) as tx:
        found = await emails.email_settings.put(
            tx,
            change,
            expected_version=expected_version(if_match, EmailSettingsChangedError),
        )
        relay = await emails.email_settings.show_relay(tx, found)
    response.headers["ETag"] = etag(found.version)
    return _settings(emails, found, relay, warning)


@router.post(
    "/email-settings/test",
    response_model=EmailTestOut,
    responses=problems(
        InvalidInputError,
        InvalidAddressError,
        RelayNotAllowedError,
        RetentionError,
        EmailTestRunningError,
    ),
    openapi_extra={"x-answer-seconds": ANSWER_SECONDS},
)
async def test_settings(
    request: Request,
    body: EmailTestCreate,
    scope: Annotated[Scope, requires("email_settings:write")],
    emails: Emails,
    db: Db,
) -> Response:
    """Hand a test message to the mail server, now, and tell every step of it.

    With `settings` as it would go out if they were saved; they are not. The answer is 200 whatever
    the mail server says, and comes within 65 seconds.
    """
    change = None if body.settings is None else body.settings.change()
    with placed("settings"):
        if change is not None and change.smtp is not None:
            await emails.servers.judge(scope.tenant_id, change.smtp.host)
    async with db.transaction(scope) as tx:
        trial = await emails.trials.begin(tx, body.to, change)
    done = await emails.trials.run(trial)
    async with db.transaction(scope) as tx:
        await emails.trials.end(tx, trial)
        return reply(request, tx, view(EmailTestOut, done))


@router.post("/email-settings/relay/resume", response_model=RelayOut)
async def resume_relay(
    request: Request,
    scope: SettingsWriter,
    emails: Emails,
    db: Db,
) -> Response:
    """End the pauses of the mail server that the tenant's mail goes to, and try what waits."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(RelayOut, await emails.email_settings.resume_relay(tx)))


def _settings(
    emails: EmailManager,
    found: TenantEmailSettings,
    relay: RelayState,
    warning: str | None = None,
) -> EmailSettingsOut:
    smtp = found.smtp
    return view(
        EmailSettingsOut,
        found,
        smtp=None if smtp is None else _smtp(smtp),
        retry=found.own_retry,
        kept=emails.email_settings.kept(found),
        relay=relay,
        warning=warning,
    )


def _smtp(smtp: RelayChoice) -> SmtpOut:
    return view(SmtpOut, smtp, **asdict(smtp.options))


# --- named relays ---------------------------------------------------------------------------


@router.get("/email-relays")
async def list_relays(
    scope: RelayReader, emails: Emails, db: Db, page: NamedPageQuery
) -> Page[EmailRelayOut]:
    """List the named relays by name."""
    async with db.read(scope) as tx:
        rows = await emails.named_relays.list(tx, limit=page.limit, after_name=page.after_name)
    return page_of(EmailRelayOut, [_named(row) for row in rows], page)


@router.get("/email-relays/{name}", responses=problems(RelayNotFoundError))
async def get_relay(
    response: Response, name: RelayPath, scope: RelayReader, emails: Emails, db: Db
) -> EmailRelayOut:
    """Get one named relay. The ETag goes into If-Match when changing it."""
    async with db.read(scope) as tx:
        found = await emails.named_relays.get(tx, name)
    response.headers["ETag"] = etag(found.version)
    return _named(found)


@router.put(
    "/email-relays/{name}",
    responses={
        200: leads_to(
            get_relay=_NAMED, delete_relay=_NAMED, test_relay=_NAMED, resume_named_relay=_NAMED
        ),
        **problems(
            RelayChangedError,
            TooManyRelaysError,
            InvalidInputError,
            InvalidAddressError,
            RelayNotAllowedError,
        ),
    },
)
async def put_relay(
    response: Response,
    name: RelayPath,
    body: EmailRelayPut,
    scope: RelayWriter,
    emails: Emails,
    db: Db,
    if_match: IfMatch = None,
) -> EmailRelayOut:
    """Make or replace a mail server that messages may name."""
    chosen = body.smtp.choice()
    warning = await emails.servers.judge(scope.tenant_id, chosen.host)
    async with db.transaction(scope) as tx:
        made = await emails.named_relays.put(
            tx,
            name=name,
            smtp=chosen,
            from_address=body.from_address,
            expected_version=expected_version(if_match, RelayChangedError),
        )
    response.headers["ETag"] = etag(made.version)
    return _named(made, warning)


@router.delete(
    "/email-relays/{name}",
    status_code=204,
    responses=problems(RelayNotFoundError, RelayInUseError),
)
async def delete_relay(name: RelayPath, scope: RelayWriter, emails: Emails, db: Db) -> None:
    """Delete a named relay by which no message is on its way."""
    async with db.transaction(scope) as tx:
        await emails.named_relays.delete(tx, name)


@router.post(
    "/email-relays/{name}/test",
    response_model=RelayTestOut,
    responses=problems(RelayNotFoundError, EmailTestRunningError),
)
async def test_relay(
    request: Request, name: RelayPath, scope: RelayWriter, emails: Emails, db: Db
) -> Response:
    """Connect to a named relay, greet it and log in, without sending anything."""
    async with db.transaction(scope) as tx:
        look = await emails.trials.begin_look(tx, name)
    found = await emails.trials.look(look)
    async with db.transaction(scope) as tx:
        await emails.trials.end(tx, look)
        return reply(request, tx, view(RelayTestOut, found))


@router.post(
    "/email-relays/{name}/resume",
    response_model=EmailRelayOut,
    responses=problems(RelayNotFoundError),
)
async def resume_named_relay(
    request: Request, name: RelayPath, scope: RelayWriter, emails: Emails, db: Db
) -> Response:
    """End the pauses of a named relay, and try what waits for it."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, _named(await emails.named_relays.resume(tx, name)))


def _named(found: NamedRelay, warning: str | None = None) -> EmailRelayOut:
    return view(EmailRelayOut, found, smtp=_smtp(found.smtp), warning=warning)


# --- suppressions ---------------------------------------------------------------------------

suppressions = APIRouter(prefix="/api/v1/suppressions", tags=["suppression"])
ListReader = Annotated[Scope, requires("suppression:read")]
ListWriter = Annotated[Scope, requires("suppression:write")]
_SUPPRESSION_ID: Final = {"suppression_id": "$response.body#/id"}
_COLUMNS: Final = ("address", "reason", "comment", "created_at", "created_by", "expires_at")


@suppressions.get("")
async def list_suppressions(
    scope: ListReader,
    emails: Emails,
    db: Db,
    page: PageQuery,
    address: Annotated[
        str | None, Query(max_length=320, description="Exact, or a prefix with `*`")
    ] = None,
    reason: Reason | None = None,
) -> Page[SuppressionOut]:
    """List suppressed addresses, newest first."""
    async with db.read(scope) as tx:
        rows = await emails.suppressions.list(
            tx, limit=page.limit, before_id=page.before_id, address=address, reason=reason
        )
    return page_of(SuppressionOut, rows, page)


@suppressions.post(
    "",
    status_code=201,
    response_model=SuppressionOut,
    responses={
        200: {"model": SuppressionOut, "description": "The address was on the list already"},
        201: leads_to(get_suppression=_SUPPRESSION_ID, remove_suppression=_SUPPRESSION_ID),
        **problems(InvalidInputError, InvalidAddressError, SuppressionExpiryError),
    },
)
async def add_suppression(
    request: Request, body: SuppressionCreate, scope: ListWriter, emails: Emails, db: Db
) -> Response:
    """Never mail an address again; what was said of it before is replaced."""
    async with db.transaction(scope) as tx:
        made, new = await emails.suppressions.add(tx, **body.model_dump())
        return reply(request, tx, view(SuppressionOut, made), status=201 if new else 200)


@suppressions.post(
    "/import",
    response_model=ImportedOut,
    responses=problems(SuppressionImportError),
    openapi_extra=csv_body("address,comment\r\ngrace@example.test,moved\r\n"),
)
async def import_suppressions(
    request: Request, body: CsvBody, scope: ListWriter, emails: Emails, db: Db
) -> Response:
    """Suppress the addresses of a CSV file (address, comment, expires_at).

    A line that is wrong refuses the whole file. The others are added in parts: after a failure in
    the middle, import the file again.
    """
    lines = await emails.suppressions.read_file(scope.tenant_id, body)
    *parts, last = emails.suppressions.in_parts(lines, db.clock())
    found = Imported()
    for part in parts:
        async with db.transaction(scope) as tx:
            found += await emails.suppressions.import_part(tx, part)
    async with db.transaction(scope) as tx:
        found += await emails.suppressions.import_part(tx, last)
        return reply(request, tx, view(ImportedOut, found))


@suppressions.get("/export", response_class=Response, responses={200: CSV_ANSWER})
async def export_suppressions(scope: ListReader, emails: Emails, db: Db) -> Response:
    """Export the list as CSV, newest first; `import` takes it back."""

    async def parts() -> AsyncIterator[bytes]:
        yield write_rows([_COLUMNS])
        async for rows in in_parts(db, scope, emails.suppressions.list):
            yield write_rows([getattr(row, name) for name in _COLUMNS] for row in rows)

    return csv_file("suppressions.csv", parts())


@suppressions.get("/{suppression_id}", responses=problems(SuppressionNotFoundError))
async def get_suppression(
    suppression_id: IdPath, scope: ListReader, emails: Emails, db: Db
) -> SuppressionOut:
    """Get one suppressed address."""
    async with db.read(scope) as tx:
        return view(SuppressionOut, await emails.suppressions.get(tx, suppression_id))


@suppressions.delete(
    "/{suppression_id}", status_code=204, responses=problems(SuppressionNotFoundError)
)
async def remove_suppression(
    suppression_id: IdPath, scope: ListWriter, emails: Emails, db: Db
) -> None:
    """Let an address be mailed again."""
    async with db.transaction(scope) as tx:
        await emails.suppressions.remove(tx, suppression_id)
