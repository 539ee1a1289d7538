import type { INodeProperties } from 'n8n-workflow';
import { type Convert, send } from '../shared/calls';
import type { Resource } from '../shared/operation';
import { asText } from '../shared/values';

const key = {
	id: 'The name of the key, as the console lists it under Keys',
	placeholder: 'orders',
};

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
	description: 'How the value is written here',
};

const context: INodeProperties = {
	displayName: 'Context',
	name: 'context',
	type: 'string',
	default: '',
	placeholder: 'orders/4711',
	description: 'Where the value lives; it opens with the same context only',
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

export const crypto: Resource = {
	name: 'Crypto',
	value: 'crypto',
	default: 'encrypt',
	operations: {
		decrypt: send({
			route: 'POST /api/v1/keys/{name}/decrypt',
			action: 'Decrypt a value',
			description: 'Open a ciphertext with the key that made it',
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
				given.encoding === 'base64'
					? object
					: {
							...object,
							plaintext: Buffer.from(String(object.plaintext), 'base64').toString('utf8'),
						},
		}),
		encrypt: send({
			route: 'POST /api/v1/keys/{name}/encrypt',
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
			action: 'Sign a value',
			description: 'Sign a value with the newest version of a key',
			...key,
			fields: [message, encoding],
			unsent: ['encoding'],
			convert: { message: inBase64 },
		}),
		verify: send({
			route: 'POST /api/v1/keys/{name}/verify',
			action: 'Verify a signature',
			description: 'Check a signature or an HMAC; gives whether it is valid',
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
