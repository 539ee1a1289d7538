import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, problem, runNode } from './support/context.mjs';

const PLAIN = 'attack at dawn: ä';
const BASE64 = Buffer.from(PLAIN, 'utf8').toString('base64');

async function ask(parameters, body) {
	const context = makeContext({
		parameters: { resource: 'crypto', ...parameters },
		answer: () => ({ status: 200, body }),
	});
	const [{ json }] = await runNode(context);
	const [request] = context.requests;
	return { json, request };
}

describe('encrypt', () => {
	const parameters = { operation: 'encrypt', name: 'orders', context: 'orders/4711' };
	const answer = { ciphertext: 'es1:abc', version: 3 };

	it('sends a text as its bytes, for its context', async () => {
		const { json, request } = await ask(
			{ ...parameters, plaintext: PLAIN, encoding: 'text' },
			answer,
		);
		assert.equal(`${request.method} ${request.path}`, 'POST /api/v1/keys/orders/encrypt');
		assert.deepEqual(request.body, { plaintext: BASE64, context: 'orders/4711' });
		assert.deepEqual(json, answer);
	});

	it('sends Base64 as it is', async () => {
		const { request } = await ask(
			{ ...parameters, plaintext: BASE64, encoding: 'base64' },
			answer,
		);
		assert.equal(request.body.plaintext, BASE64);
	});
});

describe('decrypt', () => {
	const parameters = { operation: 'decrypt', name: 'orders', ciphertext: 'es1:abc', context: '' };

	it('gives the text', async () => {
		const { json, request } = await ask(
			{ ...parameters, encoding: 'text' },
			{ plaintext: BASE64, version: 3 },
		);
		assert.deepEqual(request.body, { ciphertext: 'es1:abc' });
		assert.deepEqual(json, { plaintext: PLAIN, version: 3 });
	});

	it('gives the bytes', async () => {
		const { json } = await ask(
			{ ...parameters, encoding: 'base64' },
			{ plaintext: BASE64, version: 3 },
		);
		assert.equal(json.plaintext, BASE64);
	});

	it('shows that it does not open, and no more', async () => {
		const answer = () => problem(409, 'security.seal_broken', 'Sealed data does not open');
		const context = makeContext({
			parameters: { resource: 'crypto', ...parameters, encoding: 'text' },
			answer,
		});
		assert.equal((await failNode(context)).message, 'Sealed data does not open');
	});
});

for (const operation of ['hmac', 'sign']) {
	it(`${operation} sends the message as its bytes`, async () => {
		const { request } = await ask(
			{ operation, name: 'orders', message: PLAIN, encoding: 'text' },
			{ version: 1 },
		);
		assert.equal(request.path, `/api/v1/keys/orders/${operation}`);
		assert.deepEqual(request.body, { message: BASE64 });
	});
}

it('verify gives what the API says of the signature', async () => {
	const { json, request } = await ask(
		{ operation: 'verify', name: 'orders', message: PLAIN, signature: 'v1.abc', encoding: 'text' },
		{ valid: false },
	);
	assert.deepEqual(request.body, { message: BASE64, signature: 'v1.abc' });
	assert.deepEqual(json, { valid: false });
});

it('random asks for as many bytes', async () => {
	const { json, request } = await ask({ operation: 'random', sizeBytes: 16 }, { random: 'AAAA' });
	assert.deepEqual(request.body, { size_bytes: 16 });
	assert.deepEqual(json, { random: 'AAAA' });
});
