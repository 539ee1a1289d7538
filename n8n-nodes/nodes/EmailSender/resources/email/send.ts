import type { IDataObject, IExecuteFunctions, INodeProperties } from 'n8n-workflow';
import { NodeOperationError } from 'n8n-workflow';
import { readJsonObject } from '../../shared/json';
import type { Api } from '../../shared/transport';
import { splitAddresses } from './addresses';
import { route as getRoute } from './get';

export const route = 'POST /api/v1/emails';

const SETTLED = ['accepted', 'bounced', 'partial', 'cancelled'];
const FIRST_LOOK_MS = 250;
const LONGEST_GAP_MS = 2_000;

export const fields: INodeProperties[] = [
	{
		displayName: 'To',
		name: 'to',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'Ada Lovelace <ada@example.com>, grace@example.com',
		description: 'Recipients, separated by commas; an expression may also give a list',
	},
	{
		displayName: 'Business Key',
		name: 'businessKey',
		type: 'string',
		default: '',
		placeholder: 'invoice-2026-0042',
		description:
			'Unique per tenant: a second send with the same key answers with the first e-mail. Use what names the occasion (invoice number, order and event), and running the workflow again can never send twice.',
	},
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
					'Wait until the e-mail is accepted, bounced, partial or cancelled, for at most this long. The node then gives the e-mail as it stands, with its recipients and timeline.',
			},
		],
	},
];

export async function execute(
	context: IExecuteFunctions,
	item: number,
	api: Api,
): Promise<IDataObject[]> {
	const options = context.getNodeParameter('options', item) as IDataObject;
	const body: IDataObject = {
		to: splitAddresses(context.getNodeParameter('to', item)),
		...readContent(context, item),
	};
	if ((body.to as string[]).length === 0) {
		throw new NodeOperationError(context.getNode(), 'There is no recipient in "To"', {
			itemIndex: item,
		});
	}

	const cc = splitAddresses(options.cc);
	const bcc = splitAddresses(options.bcc);
	const headers = readHeaders(options.headers);
	const attachments = await readAttachments(context, item);
	const businessKey = String(context.getNodeParameter('businessKey', item) ?? '').trim();
	if (cc.length > 0) body.cc = cc;
	if (bcc.length > 0) body.bcc = bcc;
	if (options.replyTo) body.reply_to = options.replyTo;
	if (Object.keys(headers).length > 0) body.headers = headers;
	if (attachments.length > 0) body.attachments = attachments;
	if (businessKey) body.business_key = businessKey;

	const email = await api.object({ route, body });
	const waitMs = Number(options.waitSeconds ?? 0) * 1000;
	return [waitMs > 0 ? await waitUntilSettled(api, email, waitMs) : email];
}

function readContent(context: IExecuteFunctions, item: number): IDataObject {
	if (context.getNodeParameter('content', item) === 'template') {
		const variables = context.getNodeParameter('variables', item);
		return {
			template: context.getNodeParameter('template', item) as string,
			variables: readJsonObject(context, item, 'Variables', variables),
		};
	}
	const subject = context.getNodeParameter('subject', item) as string;
	const text = context.getNodeParameter('text', item) as string;
	const html = context.getNodeParameter('html', item) as string;
	if (!text && !html) {
		throw new NodeOperationError(
			context.getNode(),
			'The e-mail is empty: give "Text", "HTML" or both',
			{
				itemIndex: item,
			},
		);
	}
	return { subject, ...(text ? { text } : {}), ...(html ? { html } : {}) };
}

function readHeaders(value: unknown): IDataObject {
	const { header = [] } = (value ?? {}) as { header?: Array<{ name: string; value: string }> };
	return Object.fromEntries(
		header.filter(({ name }) => name).map(({ name, value: text }) => [name.trim(), text]),
	);
}

async function readAttachments(context: IExecuteFunctions, item: number): Promise<IDataObject[]> {
	const value = context.getNodeParameter('attachments', item) as string | string[];
	const names = (Array.isArray(value) ? value : value.split(','))
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
		const email = await api.object({ route: getRoute, params: { id: sent.id as string } });
		const left = end - api.now();
		// Running out of time is not an error: the e-mail is on its way, and its state says how far it came.
		if (SETTLED.includes(email.state as string) || left <= 0) return email;
		await api.pause(Math.min(gap, left));
		gap = Math.min(gap * 1.5, LONGEST_GAP_MS);
	}
}
