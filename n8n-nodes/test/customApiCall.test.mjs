import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, runNode } from './support/context.mjs';

const base = { resource: 'customApiCall', operation: 'call' };

async function call(parameters, answer = () => ({ status: 200, body: { ok: true } })) {
	const context = makeContext({ parameters: { ...base, ...parameters }, answer });
	const output = await runNode(context);
	return { request: context.requests[0], json: output.map((item) => item.json) };
}

describe('request', () => {
	it('goes to the path below the API with its query', async () => {
		const { request } = await call({ path: 'email-templates', query: '{"limit": 10}' });
		assert.equal(`${request.method} ${request.path}`, 'GET /api/v1/email-templates');
		assert.deepEqual(request.query, { limit: 10 });
		assert.equal(request.body, undefined);
	});

	for (const path of [
		'/email-templates/welcome',
		'/api/v1/email-templates/welcome',
		' email-templates/welcome ',
		'email-templates/welcome/',
	]) {
		it(`takes the path as "${path}" as well`, async () => {
			const { request } = await call({ path });
			assert.equal(request.path, '/api/v1/email-templates/welcome');
		});
	}

	for (const [what, query, written] of [
		['nothing', { recipient: undefined }, 'x'],
		['null', { recipient: null }, 'x'],
		['an empty text from an expression', '{"recipient": ""}', '={"recipient": "{{ $json.who }}"}'],
	]) {
		it(`is not made with a query value that is ${what}`, async () => {
			const context = makeContext({
				parameters: { ...base, path: 'emails', query },
				written: { query: written },
				answer: () => assert.fail('no request expected'),
			});
			const { getNodeParameter } = context;
			context.getNodeParameter = (name, item) =>
				name === 'query' ? query : getNodeParameter(name, item);
			assert.match(
				(await failNode(context)).message,
				/"recipient" in "Query Parameters" is nothing/,
			);
		});
	}

	for (const method of ['POST', 'PUT', 'PATCH']) {
		it(`sends the body with ${method}`, async () => {
			const { request } = await call({ method, path: 'email-settings', body: '{"from_name":"A"}' });
			assert.equal(request.method, method);
			assert.deepEqual(request.body, { from_name: 'A' });
			assert.equal(request.headers['content-type'], 'application/json');
		});
	}

	it('sends an empty body as an object, and a list as a list', async () => {
		assert.deepEqual((await call({ method: 'POST', path: 'a' })).request.body, {});
		assert.deepEqual((await call({ method: 'POST', path: 'a', body: '[1]' })).request.body, [1]);
	});

	it('sends no body with DELETE', async () => {
		const { request } = await call({ method: 'DELETE', path: 'clients/c1' });
		assert.equal(request.body, undefined);
	});

	it('carries an idempotency key when it posts, only then', async () => {
		assert.ok((await call({ method: 'POST', path: 'a' })).request.headers['idempotency-key']);
		assert.equal(
			(await call({ method: 'PUT', path: 'a' })).request.headers['idempotency-key'],
			undefined,
		);
	});

	it('carries If-Match when given', async () => {
		const { request } = await call({
			method: 'PUT',
			path: 'email-settings',
			options: { ifMatch: '"7"' },
		});
		assert.equal(request.headers['if-match'], '"7"');
	});

	for (const path of [
		'',
		'..',
		'../oauth/token',
		'emails/../../oauth/token',
		'emails//x',
		'emails//',
		'http://evil.test/',
		'//evil.test',
		'emails?limit=1',
		'emails#x',
		'emails/%2e%2e/x',
		'a\\b',
		'a b',
	]) {
		it(`refuses the path "${path}" before any request`, async () => {
			const context = makeContext({
				parameters: { ...base, path },
				answer: () => assert.fail('no request expected'),
			});
			assert.match((await failNode(context)).message, /is not a path below \/api\/v1/);
		});
	}

	for (const [field, parameters] of [
		['Query Parameters', { query: '[]' }],
		['Query Parameters', { query: 'x' }],
		['Body', { method: 'POST', body: '{' }],
	]) {
		it(`refuses ${JSON.stringify(parameters)} before any request`, async () => {
			const context = makeContext({
				parameters: { ...base, path: 'a', ...parameters },
				answer: () => assert.fail('no request expected'),
			});
			assert.match((await failNode(context)).message, new RegExp(`"${field}" is not`));
		});
	}
});

describe('answer', () => {
	it('is the body', async () => {
		const { json } = await call({ path: 'me' });
		assert.deepEqual(json, [{ ok: true }]);
	});

	it('is one item per entry when the body is a list', async () => {
		const { json } = await call({ path: 'me' }, () => ({
			status: 200,
			body: [{ a: 1 }, { a: 2 }],
		}));
		assert.deepEqual(json, [{ a: 1 }, { a: 2 }]);
	});

	it('is the status when there is no body', async () => {
		const { json } = await call({ method: 'DELETE', path: 'clients/c1' }, () => ({
			status: 204,
			body: '',
		}));
		assert.deepEqual(json, [{ statusCode: 204 }]);
	});

	it('has status and headers when asked for', async () => {
		const { json } = await call(
			{ path: 'email-settings', options: { fullResponse: true } },
			() => ({
				status: 200,
				headers: { etag: '"7"' },
				body: { from_name: 'A' },
			}),
		);
		assert.deepEqual(json, [
			{ statusCode: 200, headers: { etag: '"7"' }, body: { from_name: 'A' } },
		]);
	});
});

describe('list', () => {
	const pages = ({ query }) => {
		const place = Number(query.cursor ?? 0);
		const items = [{ id: `j${place}` }];
		return { status: 200, body: { items, next_cursor: place < 2 ? String(place + 1) : null } };
	};

	async function list(options, answer = pages) {
		const context = makeContext({
			parameters: { ...base, path: 'jobs', query: '{"state":"dead"}', options },
			answer,
		});
		return { context, json: (await runNode(context)).map(({ json }) => json) };
	}

	it('comes out as the API gives it, unless told otherwise', async () => {
		const { json } = await list({});
		assert.deepEqual(json, [{ items: [{ id: 'j0' }], next_cursor: '1' }]);
	});

	it('is followed to its end, with the same query', async () => {
		const { context, json } = await list({ allPages: true });
		assert.deepEqual(json, [
			{ items: [{ id: 'j0' }, { id: 'j1' }, { id: 'j2' }], next_cursor: null },
		]);
		assert.deepEqual(
			context.requests.map(({ query }) => query),
			[{ state: 'dead' }, { state: 'dead', cursor: '1' }, { state: 'dead', cursor: '2' }],
		);
	});

	it('is split into items', async () => {
		const { json } = await list({ allPages: true, splitIntoItems: true });
		assert.deepEqual(json, [{ id: 'j0' }, { id: 'j1' }, { id: 'j2' }]);
		assert.deepEqual((await list({ splitIntoItems: true })).json, [{ id: 'j0' }]);
	});

	it('is no list when the answer has none', async () => {
		const answer = () => ({ status: 200, body: { id: 'j0' } });
		const { json } = await list({ allPages: true, splitIntoItems: true }, answer);
		assert.deepEqual(json, [{ id: 'j0' }]);
	});

	it('fails rather than run in circles', async () => {
		const answer = () => ({ status: 200, body: { items: [], next_cursor: 'same' } });
		const parameters = { ...base, path: 'jobs', options: { allPages: true } };
		const error = await failNode(makeContext({ parameters, answer }));
		assert.match(error.message, /cursor was repeated/);
	});
});
