import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';
import { NodeOperationError } from 'n8n-workflow';
import { readJson } from '../../shared/json';
import type { Operation } from '../../shared/operation';
import { asText, asTime, nameOf, type Place, refuse } from '../../shared/values';
import { readReplyTo, splitAddresses } from './addresses';

const MOST = 500;
const TEXTS = ['subject', 'text', 'html', 'from', 'message_id', 'template', 'relay'];

/** Sends a list that one item holds: all of it or nothing, one item out for each e-mail. */
export const sendBatch: Operation = {
	name: 'Send Batch',
	action: 'Send a batch of emails',
	description: 'Send up to 500 e-mails of one list together: all of them or none',
	route: 'POST /api/v1/emails/batch',
	body: ['messages'],
	fields: [
		{
			displayName: 'Messages',
			name: 'messages',
			type: 'json',
			default: '[]',
			required: true,
			placeholder: '[{"to": "ada@example.com", "subject": "Hello", "text": "Hi Ada"}]',
			description:
				'List of e-mails with the names of the API: to, cc, bcc, subject, text, html, template, variables, headers, from, reply_to, send_at, message_id, relay, business_key. Send, with many items, does the same for items of their own.',
		},
	],
	async execute(context, item, api) {
		const { route } = sendBatch;
		const body = { messages: readMessages(context, item) };
		const answer = await api.object({ route, body });
		return (answer.items ?? []) as IDataObject[];
	},
};

function readMessages(context: IExecuteFunctions, item: number): IDataObject[] {
	const given = context.getNodeParameter('messages', item);
	const messages = readJson(context, item, 'Messages', given);
	if (!Array.isArray(messages) || messages.length === 0 || messages.length > MOST) {
		const found = Array.isArray(messages) ? `${messages.length} e-mails` : nameOf(messages);
		throw new NodeOperationError(
			context.getNode(),
			`"Messages" is ${found}, not a list of 1 to ${MOST}`,
			{
				itemIndex: item,
			},
		);
	}
	return messages.map((message, index) =>
		readMessage(message, { context, item, label: `Messages ${index}`, written: undefined }),
	);
}

function readMessage(message: unknown, place: Place): IDataObject {
	if (typeof message !== 'object' || message === null || Array.isArray(message)) {
		throw refuse(place, `"${place.label}" is ${nameOf(message)}, not an e-mail`);
	}
	const body = { ...(message as IDataObject) };
	for (const [name, value] of Object.entries(body)) {
		const there = { ...place, label: `${place.label}: ${name}` };
		if (value === null || value === undefined) delete body[name];
		else if (['to', 'cc', 'bcc'].includes(name)) body[name] = splitAddresses(value, there);
		else if (name === 'reply_to') body[name] = readReplyTo(value, there);
		else if (name === 'send_at') body[name] = asTime(there, value);
		else if (name === 'business_key') body[name] = readKey(value, there);
		else if (TEXTS.includes(name)) body[name] = asText(there, value);
	}
	return body;
}

function readKey(value: unknown, place: Place): string {
	if (typeof value === 'string' || typeof value === 'number') return String(value).trim();
	throw refuse(place, `"${place.label}" is ${nameOf(value)}, not a text or a number`);
}
