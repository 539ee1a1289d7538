import type { IDataObject } from 'n8n-workflow';
import { NodeApiError } from 'n8n-workflow';
import { businessKey, type Done, send } from '../../shared/calls';
import { readJsonObject } from '../../shared/json';
import {
	asNumber,
	asText,
	asTime,
	isNothing,
	nameOf,
	type Place,
	refuse,
	refuseEmptyParts,
} from '../../shared/values';
import { readReplyTo, splitAddresses } from './addresses';

export const ONE_EMAIL = 'GET /api/v1/emails/{email_id}';

/** What comes after these is a result, whatever it is called. */
const OPEN = ['queued', 'sending', 'deferred'];
const FIRST_LOOK_MS = 250;
const LONGEST_GAP_MS = 2_000;
const MOST_TOGETHER = 100;

export const sendEmail = send({
	route: 'POST /api/v1/emails',
	action: 'Send an email',
	description: 'Send an e-mail, at most once per business key',
	fields: [
		{
			displayName: 'To',
			name: 'to',
			type: 'string',
			default: '',
			placeholder: 'Ada Lovelace <ada@example.com>, grace@example.com',
			description:
				'Recipients, separated by commas, semicolons or line ends; an expression may also give a list. Leave it empty for an e-mail with CC or BCC alone.',
		},
		businessKey(
			'invoice-2026-0042',
			'Unique per tenant: a second send with the same key answers with the first e-mail and "deduplicated". Use what names the occasion (invoice number, order and event), and running the workflow again can never send twice.',
		),
		{
			displayName: 'Content',
			name: 'content',
			type: 'options',
			noDataExpression: true,
			options: [
				{
					name: 'Message',
					value: 'message',
					description: 'Subject and text written here',
				},
				{
					name: 'Template',
					value: 'template',
					description: 'A template of the tenant, filled with variables',
				},
			],
			default: 'message',
		},
		{
			displayName: 'Subject',
			name: 'subject',
			type: 'string',
			displayOptions: { show: { content: ['message'] } },
			default: '',
			required: true,
			placeholder: 'Your invoice 2026-0042',
		},
		{
			displayName: 'Format',
			name: 'format',
			type: 'options',
			noDataExpression: true,
			displayOptions: { show: { content: ['message'] } },
			options: [
				{ name: 'HTML', value: 'html' },
				{ name: 'Text', value: 'text' },
				{
					name: 'Text and HTML',
					value: 'both',
					description: 'The reader shows what it can; either may stay empty',
				},
			],
			default: 'both',
		},
		{
			displayName: 'Text',
			name: 'text',
			type: 'string',
			typeOptions: { rows: 5 },
			displayOptions: { show: { content: ['message'], format: ['text', 'both'] } },
			default: '',
			description: 'Plain text of the e-mail. Give text, HTML or both.',
		},
		{
			displayName: 'HTML',
			name: 'html',
			type: 'string',
			typeOptions: { rows: 5 },
			displayOptions: { show: { content: ['message'], format: ['html', 'both'] } },
			default: '',
			description: 'HTML of the e-mail. Give text, HTML or both.',
		},
		{
			displayName: 'Template Name or ID',
			name: 'template',
			type: 'options',
			typeOptions: { loadOptionsMethod: 'getTemplates' },
			displayOptions: { show: { content: ['template'] } },
			default: '',
			required: true,
			description:
				'Choose from the list, or specify an ID using an <a href="https://docs.n8n.io/code/expressions/">expression</a>',
		},
		{
			displayName: 'Give Variables',
			name: 'variablesFrom',
			type: 'options',
			noDataExpression: true,
			displayOptions: { show: { content: ['template'] } },
			options: [
				{ name: 'As JSON', value: 'json' },
				{ name: 'One by One', value: 'fields' },
			],
			default: 'json',
		},
		{
			displayName: 'Variables',
			name: 'variables',
			type: 'json',
			displayOptions: { show: { content: ['template'], variablesFrom: ['json'] } },
			default: '{}',
			description: 'JSON object whose values fill the template',
		},
		{
			displayName: 'Variables',
			name: 'variables',
			type: 'fixedCollection',
			typeOptions: { multipleValues: true },
			displayOptions: { show: { content: ['template'], variablesFrom: ['fields'] } },
			placeholder: 'Add Variable',
			default: {},
			options: [
				{
					displayName: 'Variable',
					name: 'variable',
					values: [
						{
							displayName: 'Name or ID',
							name: 'name',
							type: 'options',
							typeOptions: {
								loadOptionsMethod: 'getTemplateVariables',
								loadOptionsDependsOn: ['template'],
							},
							default: '',
							description:
								'Choose from the list, or specify an ID using an <a href="https://docs.n8n.io/code/expressions/">expression</a>',
						},
						{
							displayName: 'Value',
							name: 'value',
							type: 'string',
							default: '',
						},
					],
				},
			],
		},
		{
			displayName: 'Attachments',
			name: 'attachments',
			type: 'string',
			default: '',
			placeholder: 'data, invoice',
			hint: 'Names of the input item’s binary fields, separated by commas',
			description: 'Files to attach; each goes out with its own name and type',
		},
		{
			displayName: 'Options',
			name: 'options',
			type: 'collection',
			placeholder: 'Add Option',
			default: {},
			options: [
				{
					displayName: 'BCC',
					name: 'bcc',
					type: 'string',
					default: '',
					description: 'Recipients the others do not see, separated by commas',
				},
				{
					displayName: 'Calendar Invitation',
					name: 'calendar',
					type: 'fixedCollection',
					placeholder: 'Add Invitation',
					default: {},
					description: 'An appointment that mail programs show with buttons to answer',
					options: [
						{
							displayName: 'Invitation',
							name: 'invitation',
							values: [
								{
									displayName: 'Method',
									name: 'method',
									type: 'options',
									options: [
										{ name: 'Add', value: 'ADD' },
										{ name: 'Cancel', value: 'CANCEL' },
										{ name: 'Counter', value: 'COUNTER' },
										{ name: 'Publish', value: 'PUBLISH' },
										{ name: 'Refresh', value: 'REFRESH' },
										{ name: 'Reply', value: 'REPLY' },
										{ name: 'Request', value: 'REQUEST' },
									],
									default: 'REQUEST',
									description: 'What it asks for; the same as METHOD in the text',
								},
								{
									displayName: 'iCalendar',
									name: 'content',
									type: 'string',
									typeOptions: { rows: 6 },
									default: '',
									placeholder: 'BEGIN:VCALENDAR',
									description: 'The text of an .ics file',
								},
							],
						},
					],
				},
				{
					displayName: 'CC',
					name: 'cc',
					type: 'string',
					default: '',
					description: 'Further recipients, separated by commas',
				},
				{
					displayName: 'From',
					name: 'from',
					type: 'string',
					default: '',
					placeholder: 'Acme Billing <billing@example.com>',
					description:
						"Address, or name and address, when it is not the tenant's own. It has to be among the senders of the e-mail settings.",
				},
				{
					displayName: 'Headers',
					name: 'headers',
					type: 'fixedCollection',
					typeOptions: { multipleValues: true },
					placeholder: 'Add Header',
					default: {},
					description: 'Further header fields of the e-mail',
					options: [
						{
							displayName: 'Header',
							name: 'header',
							values: [
								{
									displayName: 'Name',
									name: 'name',
									type: 'string',
									default: '',
									placeholder: 'X-Campaign',
								},
								{
									displayName: 'Value',
									name: 'value',
									type: 'string',
									default: '',
								},
							],
						},
					],
				},
				{
					displayName: 'If the Key Was Used for Another E-Mail',
					name: 'onKeyConflict',
					type: 'options',
					options: [
						{
							name: 'Fail',
							value: 'refuse',
							description: 'Other recipients or another subject than at first is an error',
						},
						{
							name: 'Return the First E-Mail',
							value: 'return_first',
							description: 'Whatever this one says, the first one comes out',
						},
					],
					default: 'refuse',
					description:
						'What a business key does that names an e-mail to others, or with another subject',
				},
				{
					displayName: 'Inline Images',
					name: 'inlineImages',
					type: 'fixedCollection',
					typeOptions: { multipleValues: true },
					placeholder: 'Add Image',
					default: {},
					description:
						'Images that the HTML shows itself, as &lt;img src="cid:logo"&gt; with the content ID "logo"',
					options: [
						{
							displayName: 'Image',
							name: 'image',
							values: [
								{
									displayName: 'Input Binary Field',
									name: 'binaryField',
									type: 'string',
									default: '',
									placeholder: 'data',
									description: 'Name of the binary field with the image',
								},
								{
									displayName: 'Content ID',
									name: 'contentId',
									type: 'string',
									default: '',
									placeholder: 'logo',
									description:
										'What follows cid: in the HTML; the name of the field when left empty',
								},
							],
						},
					],
				},
				{
					displayName: 'Message ID',
					name: 'messageId',
					type: 'string',
					default: '',
					placeholder: '<order-7@example.com>',
					description:
						'The Message-ID of the e-mail, when other systems have to know it beforehand',
				},
				{
					displayName: 'Relay Name or ID',
					name: 'relay',
					type: 'options',
					typeOptions: { loadOptionsMethod: 'getRelays' },
					default: '',
					description:
						'The mail server to go by instead of the tenant\'s usual one. Choose from the list, or specify an ID using an <a href="https://docs.n8n.io/code/expressions/">expression</a>.',
				},
				{
					displayName: 'Reply To',
					name: 'replyTo',
					type: 'string',
					default: '',
					placeholder: 'support@example.com',
					description:
						'Where answers go instead of the sender: one address, or several separated by commas',
				},
				{
					displayName: 'Send At',
					name: 'sendAt',
					type: 'dateTime',
					default: '',
					description:
						"The e-mail is accepted now and goes out then, at most a year later. A time without an offset is meant in the workflow's time zone; cancel the e-mail's job to call it off.",
				},
				{
					displayName: 'Wait for Delivery (Seconds)',
					name: 'waitSeconds',
					type: 'number',
					typeOptions: { minValue: 0, maxValue: 900 },
					default: 30,
					description:
						'Wait until the e-mail is settled (accepted, bounced, partial ...), for at most this long. The node then gives the e-mail as it stands, with its recipients and timeline. One that is sent later than that is not waited for.',
				},
			],
		},
	],
	unsent: ['content', 'format', 'variablesFrom', 'waitSeconds'],
	joined: { inlineImages: 'attachments' },
	convert: {
		to: splitAddresses,
		cc: splitAddresses,
		bcc: splitAddresses,
		headers: readHeaders,
		replyTo: readReplyTo,
		from: readChosen,
		messageId: readChosen,
		relay: readChosen,
		sendAt: readSendAt,
		calendar: readCalendar,
		attachments: readAttachments,
		inlineImages: readInlineImages,
		variables: readVariables,
		waitSeconds: readSeconds,
	},
	refuse({ to, cc, bcc, template, text, html }) {
		if (template === undefined && !text && !html) {
			return 'The e-mail is empty: give "Text", "HTML" or both';
		}
		return (to ?? cc ?? bcc) ? undefined : 'There is no recipient in "To", "CC" or "BCC"';
	},
	batch: {
		route: 'POST /api/v1/emails/batch',
		property: 'messages',
		most: MOST_TOGETHER,
		// Files would make one request of any size.
		takes: ({ attachments }) => attachments === undefined,
	},
	shape(email, { status, isOfEarlierTry }) {
		const isRepetition = email.deduplicated === true || status === 200 || isOfEarlierTry === true;
		return isRepetition ? { ...email, deduplicated: true } : email;
	},
	async follow(done) {
		tellRepetitions(done);
		await waitUntilSettled(done);
	},
});

/** Says beside the output what is easily overlooked in it. */
function tellRepetitions(done: Done[]): void {
	const repeated = done.filter(({ result }) => result.deduplicated);
	if (repeated.length === 0) return;
	const [{ context, result }] = repeated;
	const which =
		repeated.length === 1 ? `"${String(result.subject)}"` : `${repeated.length} e-mails`;
	context.addExecutionHints?.({
		message: `Nothing was sent for ${which}: the first e-mail under the same business key, or of an earlier try, came out ("deduplicated").`,
		location: 'outputPane',
		type: 'info',
	});
}

/** Looks at all of them in turns until each is settled or its time is up; a look that fails harms none. */
async function waitUntilSettled(done: Done[]): Promise<void> {
	let waiting = done
		.map((one) => ({ one, end: one.api.now() + Number(one.given.waitSeconds ?? 0) * 1000 }))
		.filter(({ one, end }) => end > Math.max(one.api.now(), startOf(one.result)));
	let gap = FIRST_LOOK_MS;
	while (waiting.length > 0) {
		const still: typeof waiting = [];
		for (const each of waiting) {
			if (await look(each.one, each.end)) still.push(each);
		}
		waiting = still;
		if (waiting.length === 0) return;
		const { api } = waiting[0].one;
		const left = Math.max(...waiting.map(({ end }) => end)) - api.now();
		await api.pause(Math.max(0, Math.min(gap, left)));
		gap = Math.min(gap * 1.5, LONGEST_GAP_MS);
	}
}

/** When an e-mail goes out at the earliest; at once unless it is sent later. */
function startOf({ send_at: sendAt }: IDataObject): number {
	return typeof sendAt === 'string' ? Date.parse(sendAt) : 0;
}

/** Brings a result up to date; says whether to look again. */
async function look(one: Done, end: number): Promise<boolean> {
	const { api, result } = one;
	const { deduplicated } = result;
	let email: IDataObject;
	try {
		email = await api.object({
			route: ONE_EMAIL,
			params: { email_id: result.id as string },
			patienceMs: Math.max(0, end - api.now()),
		});
	} catch (error) {
		// The e-mail is accepted, whatever becomes of the looking: to fail here would have it sent again.
		const { message, httpCode } = error as NodeApiError;
		one.result = { ...result, wait_error: message };
		const isForGood = /^4(?!29|08)\d\d$/.test(String(httpCode));
		return !isForGood && api.now() < end;
	}
	one.result = deduplicated === undefined ? email : { ...email, deduplicated };
	// Running out of time is not an error: the e-mail is on its way, and its state says how far it came.
	return OPEN.includes(email.state as string) && api.now() < end;
}

function readSeconds(value: unknown, place: Place): number | undefined {
	const text =
		typeof value === 'string' ? value.trim().replace(/\s*(s|secs?|seconds?)$/i, '') : value;
	return asNumber(place, text);
}

function readVariables(value: unknown, place: Place): IDataObject {
	const { context, item, label } = place;
	if (context.getNodeParameter('variablesFrom', item) === 'json') {
		return readJsonObject(context, item, label, value);
	}
	const { variable } = (value ?? {}) as { variable?: Array<{ name: string; value: unknown }> };
	const named = (variable ?? []).filter((one) => one?.name).map((one) => [one.name, one.value]);
	return Object.fromEntries(named);
}

function readHeaders(value: unknown, place: Place): IDataObject | undefined {
	const { header } = (value ?? {}) as { header?: unknown };
	const headers: IDataObject = {};
	const seen = new Set<string>();
	for (const entry of Array.isArray(header) ? header : []) {
		const { name: given, value: text } = (entry ?? {}) as { name?: unknown; value?: unknown };
		const name = asText({ ...place, label: 'Name of a header' }, given).trim();
		if (!name) continue;
		if (seen.has(name.toLowerCase())) {
			throw refuse(
				place,
				`The header "${name}" is given twice`,
				'Put both values into one, or remove one.',
			);
		}
		seen.add(name.toLowerCase());
		headers[name] = asText({ ...place, label: `Header ${name}` }, text);
	}
	return seen.size > 0 ? headers : undefined;
}

/** What stands in for the tenant's own: an expression that gives nothing would have that instead, unseen. */
function readChosen(value: unknown, place: Place): string {
	refuseEmptyParts(place, value, ['string']);
	return asText(place, value).trim();
}

/** What is to go out later would go out at once if the time were nothing. */
function readSendAt(value: unknown, place: Place): string | undefined {
	refuseEmptyParts(place, value, ['string', 'object']);
	return asTime(place, value);
}

function readCalendar(value: unknown, place: Place): IDataObject | undefined {
	const { invitation } = (value ?? {}) as { invitation?: IDataObject };
	if (!invitation) return undefined;
	const content = asText({ ...place, label: 'iCalendar' }, invitation.content);
	if (content.trim()) return { method: invitation.method, content };
	throw refuse(
		place,
		`"${place.label}" has no text`,
		'Give the text of an .ics file as iCalendar.',
	);
}

async function readAttachments(value: unknown, place: Place): Promise<IDataObject[]> {
	const attachments: IDataObject[] = [];
	for (const name of namesIn(value, place)) attachments.push(await readFile(name, place));
	return attachments;
}

async function readInlineImages(value: unknown, place: Place): Promise<IDataObject[]> {
	const { image } = (value ?? {}) as { image?: unknown };
	const images: IDataObject[] = [];
	for (const entry of Array.isArray(image) ? image : []) {
		const { binaryField, contentId } = (entry ?? {}) as IDataObject;
		const name = asText({ ...place, label: 'Input Binary Field' }, binaryField).trim();
		if (!name) throw refuse(place, `An image of "${place.label}" names no binary field`);
		const id = asText({ ...place, label: 'Content ID' }, contentId).trim();
		images.push({ ...(await readFile(name, place)), content_id: id || name });
	}
	return images;
}

async function readFile(name: string, { context, item }: Place): Promise<IDataObject> {
	const file = context.helpers.assertBinaryData(item, name);
	const content = await context.helpers.getBinaryDataBuffer(item, name);
	return {
		filename: file.fileName ?? `${name}${file.fileExtension ? `.${file.fileExtension}` : ''}`,
		content_type: file.mimeType,
		content: content.toString('base64'),
	};
}

function namesIn(value: unknown, place: Place): string[] {
	if (isNothing(value) || value === false) return [];
	if (Array.isArray(value)) return value.flatMap((one) => namesIn(one, place));
	if (typeof value === 'string' || typeof value === 'number') {
		return String(value)
			.split(',')
			.map((name) => name.trim())
			.filter(Boolean);
	}
	throw refuse(
		place,
		`"${place.label}" is ${nameOf(value)}, not the name of a binary field`,
		'Give the names of the fields under Binary of the input, such as data, or a list of such names. The files themselves come from there.',
	);
}
