/**
 * A question by e-mail that an execution waits on, and its answer.
 *
 * A link of the e-mail is signed by n8n for one execution, one node and one answer, and n8n looks at that before the
 * node is asked. Opening it decides nothing: scanners of mail open whatever is in it. It shows a page with a button, and
 * what that sends is the answer.
 */
import { createHash, timingSafeEqual } from 'crypto';
import type {
	IDataObject,
	IExecuteFunctions,
	INodeProperties,
	IWebhookDescription,
	IWebhookFunctions,
	IWebhookResponseData,
} from 'n8n-workflow';
import { NodeOperationError, SEND_AND_WAIT_OPERATION, WAIT_INDEFINITELY } from 'n8n-workflow';
import type { Operation } from '../../shared/operation';
import { asNumber, asText, asTime, type Place, refuse, writtenIn } from '../../shared/values';
import { readReplyTo, splitAddresses } from './addresses';

const SIGNATURE = 'signature';
const SECONDS: Record<string, number> = { minutes: 60, hours: 3600, days: 86_400 };
/** What the question was asked for: an earlier round of a loop has the same execution and node. */
const ASKED_FOR = '{{ JSON.stringify($json) }}';

interface Labels {
	approvalType?: string;
	approveLabel?: string;
	disapproveLabel?: string;
}

interface Limit {
	limitType?: string;
	resumeAmount?: unknown;
	resumeUnit?: string;
	maxDateAndTime?: unknown;
}

/** Names are those of n8n's own nodes that send and wait: its editor and its agents know them. */
const FIELDS: INodeProperties[] = [
	{
		displayName: 'To',
		name: 'to',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'ada@example.com',
		description: 'Who is asked. Of several the first one to answer decides.',
	},
	{
		displayName: 'Subject',
		name: 'subject',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'Approval required',
	},
	{
		displayName: 'Message',
		name: 'message',
		type: 'string',
		typeOptions: { rows: 4 },
		default: '',
		required: true,
		description: 'What is asked, as text; HTML in it is shown as it is written',
	},
	{
		displayName: 'Approval Options',
		name: 'approvalOptions',
		type: 'fixedCollection',
		placeholder: 'Add option',
		default: {},
		options: [
			{
				displayName: 'Values',
				name: 'values',
				values: [
					{
						displayName: 'Type of Approval',
						name: 'approvalType',
						type: 'options',
						options: [
							{ name: 'Approve Only', value: 'single' },
							{ name: 'Approve and Disapprove', value: 'double' },
						],
						default: 'single',
					},
					{
						displayName: 'Approve Button Label',
						name: 'approveLabel',
						type: 'string',
						default: 'Approve',
					},
					{
						displayName: 'Disapprove Button Label',
						name: 'disapproveLabel',
						type: 'string',
						displayOptions: { show: { approvalType: ['double'] } },
						default: 'Decline',
					},
				],
			},
		],
	},
	{
		displayName: 'Options',
		name: 'options',
		type: 'collection',
		placeholder: 'Add option',
		default: {},
		options: [
			{
				displayName: 'From',
				name: 'from',
				type: 'string',
				default: '',
				placeholder: 'Sales <sales@example.com>',
				description: "The tenant's from address, or one of its further senders",
			},
			{
				displayName: 'Limit Wait Time',
				name: 'limitWaitTime',
				type: 'fixedCollection',
				default: {
					values: { limitType: 'afterTimeInterval', resumeAmount: 45, resumeUnit: 'minutes' },
				},
				description:
					'How long an answer is waited for. After it the execution goes on with the item that came in, which has no answer in it.',
				options: [
					{
						displayName: 'Values',
						name: 'values',
						values: [
							{
								displayName: 'Limit Type',
								name: 'limitType',
								type: 'options',
								options: [
									{ name: 'After Time Interval', value: 'afterTimeInterval' },
									{ name: 'At Specified Time', value: 'atSpecifiedTime' },
								],
								default: 'afterTimeInterval',
							},
							{
								displayName: 'Amount',
								name: 'resumeAmount',
								type: 'number',
								typeOptions: { minValue: 0, numberPrecision: 2 },
								displayOptions: { show: { limitType: ['afterTimeInterval'] } },
								default: 1,
							},
							{
								displayName: 'Unit',
								name: 'resumeUnit',
								type: 'options',
								displayOptions: { show: { limitType: ['afterTimeInterval'] } },
								options: [
									{ name: 'Days', value: 'days' },
									{ name: 'Hours', value: 'hours' },
									{ name: 'Minutes', value: 'minutes' },
								],
								default: 'hours',
							},
							{
								displayName: 'Max Date and Time',
								name: 'maxDateAndTime',
								type: 'dateTime',
								displayOptions: { show: { limitType: ['atSpecifiedTime'] } },
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
				description: 'Where written answers go instead of the sender',
			},
		],
	},
];

export const sendAndWait: Operation = {
	name: 'Send and Wait for Response',
	action: 'Send an email and wait for approval',
	description: 'Ask for approval by e-mail, and go on when somebody has answered',
	route: 'POST /api/v1/emails',
	body: ['to', 'subject', 'text', 'html', 'from', 'reply_to'],
	fields: FIELDS,
	async executeAll(context, items, open) {
		if (items.length > 1) {
			throw new NodeOperationError(
				context.getNode(),
				`An execution waits on one question, and there are ${items.length} items`,
				{
					description:
						'Ask for one after the other with Loop Over Items, or for all in one e-mail.',
				},
			);
		}
		// Before anything is sent: a question that nothing waits on is worse than none.
		const until = readLimit(context);
		const body = questionOf(context);
		await open(0).object({ route: sendAndWait.route, body });
		await context.putExecutionToWait(until);
		return [[context.getInputData()[0].json]];
	},
};

/** Where answers come in; n8n keeps them open while the execution waits. */
export const ANSWER_WEBHOOKS: IWebhookDescription[] = (['GET', 'POST'] as const).map(
	(httpMethod) => ({
		name: 'default',
		httpMethod,
		responseMode: 'onReceived',
		responseData: '',
		path: '={{ $nodeId }}',
		restartWebhook: true,
		isFullPath: true,
	}),
);

export const WAITING_TOOLTIP = `={{ $parameter["operation"] === "${SEND_AND_WAIT_OPERATION}" ? "Execution will continue after the answer" : "" }}`;

/** Shows the page that asks once more, or takes the answer. */
export async function answer(context: IWebhookFunctions): Promise<IWebhookResponseData> {
	const request = context.getRequestObject();
	const response = context.getResponseObject();
	response.setHeader('Content-Type', 'text/html; charset=utf-8');
	response.setHeader('Cache-Control', 'no-store');
	response.setHeader('Referrer-Policy', 'no-referrer');
	response.setHeader('X-Content-Type-Options', 'nosniff');
	response.setHeader('X-Robots-Tag', 'noindex');
	response.setHeader(
		'Content-Security-Policy',
		"sandbox allow-forms; default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	);
	const show = (status: number, page: string): IWebhookResponseData => {
		response.status(status).send(page);
		return { noWebhookResponse: true };
	};
	const query = context.getQueryData() as Record<string, unknown>;
	if (!isSigned(context, query) || !['true', 'false'].includes(String(query.approved))) {
		return show(401, pageOf('This link is not valid', 'Open it as it is in the e-mail.'));
	}
	if (query.question !== digestOf(context)) {
		return show(410, pageOf('Nothing to be answered', 'This question is not open any more.'));
	}
	const approved = query.approved === 'true';
	if (request.method !== 'POST') {
		const { approve, decline } = labelsOf(
			context.getNodeParameter('approvalOptions.values', {}) as Labels,
		);
		const label = escape(approved ? approve : (decline ?? 'Decline'));
		const subject = asLine(context.getNodeParameter('subject', ''));
		const form = `<form method="post"><button type="submit">${label}</button></form>`;
		return show(200, pageOf(subject, 'Your answer counts when you press the button.', form));
	}
	const data = { approved, respondedAt: new Date().toISOString() };
	return {
		webhookResponse: pageOf('Thank you', 'Your answer was taken. This page can be closed.'),
		workflowData: [[{ json: { data } }]],
	};
}

/** n8n has looked as well, unless the execution is from before it did. */
function isSigned(context: IWebhookFunctions, query: Record<string, unknown>): boolean {
	const { [SIGNATURE]: given, ...said } = query;
	const texts = Object.entries(said).map(([name, value]) => [name, String(value)]);
	const signed = new URL(context.getSignedResumeUrl(Object.fromEntries(texts)));
	const expected = Buffer.from(signed.searchParams.get(SIGNATURE) ?? '');
	const found = Buffer.from(String(given ?? ''));
	return (
		expected.length > 0 && expected.length === found.length && timingSafeEqual(expected, found)
	);
}

function digestOf(context: IExecuteFunctions | IWebhookFunctions): string {
	const said = String(context.evaluateExpression(ASKED_FOR, 0));
	return createHash('sha256').update(said).digest('hex').slice(0, 32);
}

function labelsOf({ approvalType, approveLabel, disapproveLabel }: Labels) {
	return {
		approve: asLine(approveLabel) || 'Approve',
		decline: approvalType === 'double' ? asLine(disapproveLabel) || 'Decline' : undefined,
	};
}

function questionOf(context: IExecuteFunctions): IDataObject {
	const placed = (label: string, name: string): Place => ({
		context,
		item: 0,
		label,
		written: writtenIn(context, name),
	});
	const to = splitAddresses(context.getNodeParameter('to', 0), placed('To', 'to'));
	if (to.length === 0) throw refuse(placed('To', 'to'), 'There is no recipient in "To"');
	const subject = asLine(
		asText(placed('Subject', 'subject'), context.getNodeParameter('subject', 0)),
	);
	const message = asText(
		placed('Message', 'message'),
		context.getNodeParameter('message', 0),
	).trim();
	if (!message) throw refuse(placed('Message', 'message'), '"Message" is empty');
	const options = context.getNodeParameter('options', 0, {}) as IDataObject;
	const from = asText(placed('From', 'options'), options.from).trim();
	const replyTo = readReplyTo(options.replyTo, placed('Reply To', 'options'));

	const { values = {} } = context.getNodeParameter('approvalOptions', 0, {}) as { values?: Labels };
	const { approve, decline } = labelsOf(values);
	const question = digestOf(context);
	const link = (approved: string) => context.getSignedResumeUrl({ approved, question });
	const choices = [{ label: approve, url: link('true'), color: '#0b6e4f' }];
	if (decline) choices.push({ label: decline, url: link('false'), color: '#5f6368' });
	return {
		to,
		subject,
		text: [message, ...choices.map(({ label, url }) => `${label}: ${url}`)].join('\n\n'),
		html: mailOf(message, choices),
		...(from ? { from } : {}),
		...(replyTo.length > 0 ? { reply_to: replyTo } : {}),
	};
}

/** Until when an answer is waited for. */
function readLimit(context: IExecuteFunctions): Date {
	const options = context.getNodeParameter('options', 0, {}) as IDataObject;
	const { values } = (options.limitWaitTime ?? {}) as { values?: Limit };
	if (!values) return WAIT_INDEFINITELY;
	const place = { context, item: 0, label: 'Limit Wait Time', written: undefined };
	const { limitType = 'afterTimeInterval', resumeAmount = 1, resumeUnit = 'hours' } = values;
	if (limitType === 'atSpecifiedTime') {
		const time = asTime(place, values.maxDateAndTime);
		if (time) return new Date(time);
		throw refuse(place, '"Max Date and Time" is empty');
	}
	const amount = asNumber(place, resumeAmount);
	const seconds = SECONDS[resumeUnit];
	if (amount === undefined || amount < 0 || seconds === undefined) {
		throw refuse(place, '"Limit Wait Time" is no stretch of time');
	}
	return new Date(Date.now() + amount * seconds * 1000);
}

function asLine(value: unknown): string {
	return String(value ?? '')
		.replace(/\s+/g, ' ')
		.trim();
}

function escape(text: string): string {
	return text.replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);
}

function mailOf(message: string, choices: Array<{ label: string; url: string; color: string }>) {
	const lines = escape(message).replace(/\r\n|\r|\n/g, '<br>');
	const buttons = choices.map(
		({ label, url, color }) =>
			`<a href="${escape(url)}" style="display:inline-block;margin:0 8px 8px 0;padding:10px 20px;border-radius:4px;background:${color};color:#ffffff;text-decoration:none;font-weight:bold">${escape(label)}</a>`,
	);
	return `<!DOCTYPE html><html><body style="font-family:sans-serif;font-size:16px;color:#202124"><p>${lines}</p><p>${buttons.join('')}</p></body></html>`;
}

/** A page of ours; what comes from elsewhere is escaped here, but for the form. */
function pageOf(title: string, text: string, form = ''): string {
	return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escape(title)}</title><style>body{font-family:sans-serif;color:#202124;background:#fff;max-width:32em;margin:4em auto;padding:0 1em}button{font:inherit;font-weight:bold;padding:.6em 1.4em;border:0;border-radius:4px;background:#0b6e4f;color:#fff;cursor:pointer}</style></head><body><main><h1>${escape(title)}</h1><p>${text}</p>${form}</main></body></html>`;
}
