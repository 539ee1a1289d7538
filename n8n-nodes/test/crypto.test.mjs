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
		const { request } = await ask({ ...parameters, plaintext: BASE64, encoding: 'base64' }, answer);
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

describe('several items', () => {
	const texts = ['one', 'two', 'three'];
	// Each an execution of its own: what was refused together once goes one by one when it is tried again.
	let executions = 0;
	const open = (more, answer, items = texts) =>
		makeContext({
			parameters: (item) => ({
				resource: 'crypto',
				operation: 'decrypt',
				name: 'orders',
				ciphertext: `es1:${items[item]}`,
				context: '',
				encoding: 'text',
				...more?.(item),
			}),
			items: items.map(() => ({ json: {} })),
			executionId: `batch-${++executions}`,
			continueOnFail: true,
			answer,
		});
	const plain = (text) => ({ plaintext: Buffer.from(text).toString('base64'), version: 1 });
	const paths = (context) => context.requests.map(({ path }) => path);

	it('go in one request, and each fails by itself', async () => {
		const broken = { code: 'security.seal_broken', title: 'Sealed data does not open', detail: '' };
		const context = open(undefined, () => ({
			status: 200,
			headers: { 'x-request-id': 'req-9' },
			body: { items: [{ result: plain('one') }, { error: broken }, { result: plain('three') }] },
		}));
		const output = await runNode(context);
		assert.deepEqual(paths(context), ['/api/v1/keys/orders/decrypt/batch']);
		assert.deepEqual(context.requests[0].body, {
			items: texts.map((text) => ({ ciphertext: `es1:${text}` })),
		});
		assert.deepEqual(
			output.map(({ pairedItem }) => pairedItem.item),
			[0, 1, 2],
		);
		assert.deepEqual(output[0].json, { plaintext: 'one', version: 1 });
		assert.deepEqual(output[1].json, {
			error: 'Sealed data does not open',
			message: 'Code: security.seal_broken · Request: req-9',
			details: { code: 'security.seal_broken', request_id: 'req-9' },
		});
		assert.equal(output[2].json.plaintext, 'three');
	});

	it('end the run with the first that fails, which it names', async () => {
		const broken = { code: 'security.seal_broken', title: 'Sealed data does not open', detail: '' };
		const context = open(undefined, () => ({
			status: 200,
			body: { items: [{ result: plain('one') }, { error: broken }, { error: broken }] },
		}));
		context.continueOnFail = () => false;
		const error = await failNode(context);
		assert.equal(error.message, 'Sealed data does not open');
		assert.equal(error.context.itemIndex, 1);
	});

	it('go together where they are of one key', async () => {
		const keys = ['orders', 'orders', 'people', 'people', 'orders'];
		const context = open(
			(item) => ({ name: keys[item] }),
			({ body }) => ({
				status: 200,
				body: body.items ? { items: body.items.map(() => ({ result: plain('x') })) } : plain('x'),
			}),
			keys,
		);
		assert.equal((await runNode(context)).length, 5);
		assert.deepEqual(paths(context), [
			'/api/v1/keys/orders/decrypt/batch',
			'/api/v1/keys/people/decrypt/batch',
			'/api/v1/keys/orders/decrypt',
		]);
	});

	it('fail together, after one request, when there is no such key', async () => {
		const context = open(undefined, () => problem(404, 'security.key_not_found', 'No such key'));
		const output = await runNode(context);
		assert.equal(context.requests.length, 1);
		assert.deepEqual(
			output.map(({ json }) => json.error),
			texts.map(() => 'No such key'),
		);
	});

	it('are asked for one by one when one of them is no ciphertext at all', async () => {
		const context = open(undefined, ({ body }) =>
			body.items || body.ciphertext === 'es1:two'
				? problem(422, 'invalid_input', 'Not valid')
				: { status: 200, body: plain('x') },
		);
		const output = await runNode(context);
		assert.equal(context.requests.length, 4);
		assert.deepEqual(
			output.map(({ json }) => json.error ?? json.plaintext),
			['x', 'Not valid', 'x'],
		);
	});

	it('go in as many requests as their length takes', async () => {
		const long = 'x'.repeat(1_500_000);
		const context = open(
			(item) => ({ ciphertext: `es1:${item}${long}` }),
			({ body }) => ({
				status: 200,
				body: body.items ? { items: body.items.map(() => ({ result: plain('x') })) } : plain('x'),
			}),
		);
		assert.equal((await runNode(context)).length, 3);
		assert.deepEqual(
			context.requests.map(({ body }) => body.items?.length ?? 1),
			[2, 1],
		);
	});

	it('are no text when the bytes are none, each by itself', async () => {
		const bytes = { plaintext: Buffer.from([0xff, 0xfe]).toString('base64'), version: 1 };
		const context = open(undefined, () => ({
			status: 200,
			body: { items: [{ result: plain('one') }, { result: bytes }, { result: plain('three') }] },
		}));
		const [first, second, third] = await runNode(context);
		assert.match(second.json.error, /no text in UTF-8.*Base64/);
		assert.deepEqual([first.json.plaintext, third.json.plaintext], ['one', 'three']);
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
