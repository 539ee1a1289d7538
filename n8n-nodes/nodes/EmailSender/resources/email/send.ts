import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';
import { businessKey, send } from '../../shared/calls';
import type { Api } from '../../shared/transport';
import { splitAddresses } from './addresses';

export const ONE_EMAIL = 'GET /api/v1/emails/{email_id}';

/** What comes after these is a result, whatever it is called. */
const OPEN = ['queued', 'sending', 'deferred'];
const FIRST_LOOK_MS = 250;
const LONGEST_GAP_MS = 2_000;

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
			required: true,
			placeholder: 'Ada Lovelace <ada@example.com>, grace@example.com',
			description: 'Recipients, separated by commas; an expression may also give a list',
		},
		businessKey(
			'invoice-2026-0042',
			'Unique per tenant: a second send with the same key answers with the first e-mail. Use what names the occasion (invoice number, order and event), and running the workflow again can never send twice.',
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
			displayName: 'Text',
			name: 'text',
			type: 'string',
			typeOptions: { rows: 5 },
			displayOptions: { show: { content: ['message'] } },
			default: '',
			description: 'Plain text of the e-mail. Give text, HTML or both.',
		},
		{
			displayName: 'HTML',
			name: 'html',
			type: 'string',
			typeOptions: { rows: 5 },
			displayOptions: { show: { content: ['message'] } },
			default: '',
			description: 'HTML of the e-mail. Give text, HTML or both.',
		},
		{
			displayName: 'Template Name',
			name: 'template',
			type: 'string',
			displayOptions: { show: { content: ['template'] } },
			default: '',
			required: true,
			placeholder: 'welcome',
		},
		{
			displayName: 'Variables',
			name: 'variables',
			type: 'json',
			displayOptions: { show: { content: ['template'] } },
			default: '{}',
			description: 'JSON object whose values fill the template',
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
					displayName: 'CC',
					name: 'cc',
					type: 'string',
					default: '',
					description: 'Further recipients, separated by commas',
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
					displayName: 'Reply To',
					name: 'replyTo',
					type: 'string',
					default: '',
					placeholder: 'support@example.com',
					description: 'Where answers go instead of the sender',
				},
				{
					displayName: 'Wait for Delivery (Seconds)',
					name: 'waitSeconds',
					type: 'number',
					typeOptions: { minValue: 0, maxValue: 900 },
					default: 30,
					description:
						'Wait until the e-mail is settled (accepted, bounced, partial ...), for at most this long. The node then gives the e-mail as it stands, with its recipients and timeline.',
				},
			],
		},
	],
	unsent: ['content', 'waitSeconds'],
	convert: {
		to: splitAddresses,
		cc: splitAddresses,
		bcc: splitAddresses,
		headers: readHeaders,
		attachments: readAttachments,
	},
	refuse({ to, template, text, html }) {
		if (template === undefined && !text && !html) {
			return 'The e-mail is empty: give "Text", "HTML" or both';
		}
		return (to as string[]).length === 0 ? 'There is no recipient in "To"' : undefined;
	},
	/** Waits until the e-mail is settled or time is up, if the builder wants that. */
	async finish(api, email, { waitSeconds }) {
		const waitMs = Number(waitSeconds ?? 0) * 1000;
		return waitMs > 0 ? await waitUntilSettled(api, email, waitMs) : email;
	},
});

function readHeaders(value: unknown): IDataObject | undefined {
	const { header = [] } = (value ?? {}) as { header?: Array<{ name: string; value: string }> };
	const named = header
		.filter(({ name }) => name)
		.map(({ name, value: text }) => [name.trim(), text]);
	return named.length > 0 ? Object.fromEntries(named) : undefined;
}

async function readAttachments(
	value: unknown,
	context: IExecuteFunctions,
	item: number,
): Promise<IDataObject[]> {
	const names = (Array.isArray(value) ? (value as string[]) : (value as string).split(','))
		.map((name) => name.trim())
		.filter(Boolean);
	const attachments: IDataObject[] = [];
	for (const name of names) {
		const file = context.helpers.assertBinaryData(item, name);
		const content = await context.helpers.getBinaryDataBuffer(item, name);
		attachments.push({
			filename: file.fileName ?? `${name}${file.fileExtension ? `.${file.fileExtension}` : ''}`,
			content_type: file.mimeType,
			content: content.toString('base64'),
		});
	}
	return attachments;
}

async function waitUntilSettled(api: Api, sent: IDataObject, waitMs: number): Promise<IDataObject> {
	const end = api.now() + waitMs;
	let gap = FIRST_LOOK_MS;
	for (;;) {
		const email = await api.object({ route: ONE_EMAIL, params: { email_id: sent.id as string } });
		const left = end - api.now();
		// Running out of time is not an error: the e-mail is on its way, and its state says how far it came.
		if (!OPEN.includes(email.state as string) || left <= 0) return email;
		await api.pause(Math.min(gap, left));
		gap = Math.min(gap * 1.5, LONGEST_GAP_MS);
	}
}
