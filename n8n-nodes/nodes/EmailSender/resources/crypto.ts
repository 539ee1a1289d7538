import type { INodeProperties } from 'n8n-workflow';
import { UserError } from 'n8n-workflow';
import { type Batch, type Convert, send } from '../shared/calls';
import type { Resource } from '../shared/operation';
import { asText } from '../shared/values';
import { KEPT } from './secret';

const key = {
	label: 'Key',
	id: 'The name of the key, as the console lists it under Keys',
	placeholder: 'orders',
};

/** Half of what the API takes in one request unless it is told otherwise. */
const MOST_CHARACTERS = 4_000_000;

/** All items of a run in one request, as many as go; each gets its own result or error. */
const together = (operation: string): Batch => ({
	route: `POST /api/v1/keys/{name}/${operation}/batch`,
	property: 'items',
	most: 1_000,
	mostCharacters: MOST_CHARACTERS,
	tellsEach: true,
});

/** How the value is written in the workflow; the API takes and gives bytes in Base64. */
const encoding: INodeProperties = {
	displayName: 'Encoding',
	name: 'encoding',
	type: 'options',
	options: [
		{ name: 'Base64', value: 'base64', description: 'Bytes, written in Base64' },
		{ name: 'Text', value: 'text', description: 'Text, in UTF-8' },
	],
	default: 'text',
	description: 'How the value is written in the workflow',
};

const context: INodeProperties = {
	displayName: 'Context',
	name: 'context',
	type: 'string',
	default: '',
	placeholder: 'orders/4711',
	description:
		'What the value belongs to, such as a table and a row; it opens with the same context only, so that nobody can move it',
};

const message: INodeProperties = {
	displayName: 'Message',
	name: 'message',
	type: 'string',
	default: '',
	required: true,
	description: 'What the signature is of',
};

const inBase64: Convert = (value, place) => {
	const text = asText(place, value);
	const written = place.context.getNodeParameter('encoding', place.item);
	return written === 'base64' ? text : Buffer.from(text, 'utf8').toString('base64');
};

const asUtf8 = (base64: unknown): string => {
	const bytes = Buffer.from(String(base64), 'base64');
	const text = bytes.toString('utf8');
	if (Buffer.from(text, 'utf8').equals(bytes)) return text;
	throw new UserError('The plaintext is no text in UTF-8: choose Base64 as its "Encoding"');
};

export const crypto: Resource = {
	name: 'Crypto',
	value: 'crypto',
	default: 'encrypt',
	operations: {
		decrypt: send({
			route: 'POST /api/v1/keys/{name}/decrypt',
			batch: together('decrypt'),
			action: 'Decrypt a value',
			description: 'Open a ciphertext with the key that made it',
			notice: KEPT,
			...key,
			fields: [
				{
					displayName: 'Ciphertext',
					name: 'ciphertext',
					type: 'string',
					default: '',
					required: true,
					placeholder: 'es1:...',
					description: 'What Encrypt gave',
				},
				context,
				encoding,
			],
			unsent: ['encoding'],
			shape: (object, _answer, given) =>
				given.encoding === 'base64' ? object : { ...object, plaintext: asUtf8(object.plaintext) },
		}),
		encrypt: send({
			route: 'POST /api/v1/keys/{name}/encrypt',
			batch: together('encrypt'),
			action: 'Encrypt a value',
			description: 'Encrypt a value with the newest version of a key',
			...key,
			fields: [
				{
					displayName: 'Plaintext',
					name: 'plaintext',
					type: 'string',
					default: '',
					required: true,
					description: 'What is encrypted',
				},
				context,
				encoding,
			],
			unsent: ['encoding'],
			convert: { plaintext: inBase64 },
		}),
		hmac: send({
			name: 'HMAC',
			route: 'POST /api/v1/keys/{name}/hmac',
			batch: together('hmac'),
			action: 'Compute an HMAC',
			description: 'Compute the message authentication code of a value',
			...key,
			fields: [message, encoding],
			unsent: ['encoding'],
			convert: { message: inBase64 },
		}),
		random: send({
			name: 'Random',
			route: 'POST /api/v1/random',
			action: 'Draw random bytes',
			description: 'Draw random bytes, in Base64',
			fields: [
				{
					displayName: 'Size in Bytes',
					name: 'sizeBytes',
					type: 'number',
					typeOptions: { minValue: 1, maxValue: 4096 },
					default: 32,
					description: 'How many',
				},
			],
		}),
		sign: send({
			route: 'POST /api/v1/keys/{name}/sign',
			batch: together('sign'),
			action: 'Sign a value',
			description: 'Sign a value with the newest version of a key',
			...key,
			fields: [message, encoding],
			unsent: ['encoding'],
			convert: { message: inBase64 },
		}),
		verify: send({
			route: 'POST /api/v1/keys/{name}/verify',
			batch: together('verify'),
			action: 'Verify a signature',
			description: 'Check a signature or an HMAC; a wrong one is no error, but gives valid: false',
			...key,
			fields: [
				message,
				{
					displayName: 'Signature',
					name: 'signature',
					type: 'string',
					default: '',
					required: true,
					placeholder: 'v1.aGVsbG8',
					description: 'What Sign or HMAC gave',
				},
				encoding,
			],
			unsent: ['encoding'],
			convert: { message: inBase64 },
		}),
	},
};
