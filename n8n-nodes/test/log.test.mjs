import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, problem, runNode } from './support/context.mjs';

const TRACE = '4bf92f35'.repeat(4);

/** Keeps lines as the API does; `refused` says what becomes of one, from its message. */
function taking(refused = () => undefined) {
	return ({ body }) => {
		const told = body
			.map((line, place) => ({ line: place + 1, code: refused(line) }))
			.filter(({ code }) => code);
		const accepted = body.length - told.length;
		return { status: 200, body: { accepted, refused: told, first_id: accepted ? 'id-1' : null } };
	};
}

function writing(parameters, { answer = taking(), ...more } = {}) {
	return makeContext({
		parameters: (item) => ({
			resource: 'log',
			operation: 'write',
			...(typeof parameters === 'function' ? parameters(item) : parameters),
		}),
		answer,
		...more,
	});
}

const items = [{ json: { order: 1 } }, { json: { order: 2 } }, { json: { order: 3 } }];

describe('write', () => {
	it('says where the line comes from without being told', async () => {
		const context = writing({ message: 'order taken', level: 'warn', data: '{"order": 42}' });
		const [{ json }] = await runNode(context);
		const [{ method, path, headers, body }] = context.requests;
		assert.equal(`${method} ${path}`, 'POST /api/v1/logs');
		assert.equal(headers['content-type'], 'application/x-ndjson');
		// Of which trace it is says the request: n8n's OpenTelemetry may yet put its own there.
		assert.ok(headers.traceparent);
		const line = {
			order: 42,
			message: 'order taken',
			'log.level': 'warn',
			'service.name': 'A workflow',
			'workflow.id': 'workflow-1',
			'execution.id': '17',
		};
		assert.deepEqual(body, [line]);
		assert.deepEqual(json, { kept: true, ...line });
	});

	it('says what the options say instead', async () => {
		const options = {
			at: '2026-01-31T09:00:00',
			executionId: 4711,
			requestId: 'req-1',
			source: 'shop',
			spanId: '00f067aa0ba902b7',
			traceId: TRACE,
			workflowId: 'w-2',
		};
		const context = writing({ message: 'm', options });
		await runNode(context);
		assert.deepEqual(context.requests[0].body, [
			{
				message: 'm',
				'log.level': 'info',
				'@timestamp': '2026-01-31T08:00:00.000Z',
				'execution.id': '4711',
				'http.request.id': 'req-1',
				'service.name': 'shop',
				'span.id': '00f067aa0ba902b7',
				'trace.id': TRACE,
				'workflow.id': 'w-2',
			},
		]);
	});

	it('names the trace that came with the item', async () => {
		const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
		const context = writing({ message: 'm' }, { items: [{ json: { traceparent } }] });
		await runNode(context);
		assert.equal(context.requests[0].body[0]['trace.id'], TRACE);
	});

	it('knows no execution of a run that is not saved', async () => {
		const context = writing({ message: 'm' }, { executionId: undefined });
		context.getExecutionId = () => undefined;
		await runNode(context);
		assert.ok(!('execution.id' in context.requests[0].body[0]));
	});

	it('sends all items in one request, under a key that a second try has too', async () => {
		const once = async () => {
			const context = writing((item) => ({ message: `order ${item}` }), { items });
			const output = await runNode(context);
			assert.deepEqual(
				output.map(({ json, pairedItem }) => [json.message, pairedItem.item]),
				[
					['order 0', 0],
					['order 1', 1],
					['order 2', 2],
				],
			);
			assert.equal(context.requests.length, 1);
			return context.requests[0].headers['idempotency-key'];
		};
		const key = await once();
		assert.match(key, /^[0-9a-f]{64}$/);
		assert.equal(await once(), key);
	});

	it('sends as many requests as the length of the lines takes', async () => {
		const long = 'x'.repeat(1_500_000);
		const context = writing((item) => ({ message: `${item} ${long}` }), { items });
		await runNode(context);
		assert.deepEqual(
			context.requests.map(({ body }) => body.length),
			[2, 1],
		);
		const keys = context.requests.map(({ headers }) => headers['idempotency-key']);
		assert.equal(new Set(keys).size, 2);
	});

	it('lets the input through when it stands in between', async () => {
		const context = writing({ message: 'm', options: { passInput: true } }, { items });
		assert.deepEqual(
			(await runNode(context)).map(({ json }) => json),
			items.map(({ json }) => json),
		);
	});

	it('refuses an empty message before anything is sent', async () => {
		const context = writing((item) => ({ message: item === 1 ? ' ' : 'm' }), { items });
		const error = await failNode(context);
		assert.equal(error.message, '"Message" is empty');
		assert.equal(error.context.itemIndex, 1);
		assert.equal(context.requests.length, 0);
	});

	it('refuses data that is no object', async () => {
		const error = await failNode(writing({ message: 'm', data: '[1]' }));
		assert.match(error.message, /"Data" is not a JSON object/);
	});
});

describe('write, of items as they are', () => {
	const parameters = { lineFrom: 'item' };

	it('adds what they do not say, under any of its names', async () => {
		const lines = [
			{ message: 'a', source: 'shop', trace: { id: TRACE }, execution_id: '9', workflow: 'none' },
			{ message: 'b', 'service.name': 'store' },
		];
		const context = writing(parameters, { items: lines.map((json) => ({ json })) });
		await runNode(context);
		const [first, second] = context.requests[0].body;
		assert.deepEqual(first, { ...lines[0], 'workflow.id': 'workflow-1' });
		assert.equal(second['service.name'], 'store');
		assert.equal(second['execution.id'], '17');
		assert.equal(lines[1]['execution.id'], undefined);
	});

	it('puts an option in the place of what they say', async () => {
		const context = writing(
			{ ...parameters, options: { source: 'till', at: '2026-01-31T08:00:00Z' } },
			{ items: [{ json: { message: 'a', source: 'shop', timestamp: 'then' } }] },
		);
		await runNode(context);
		const [line] = context.requests[0].body;
		assert.equal(line['service.name'], 'till');
		assert.equal(line['@timestamp'], '2026-01-31T08:00:00.000Z');
		assert.ok(!('source' in line) && !('timestamp' in line));
	});
});

describe('a line that is refused', () => {
	const long = ({ message }) => (message === 'order 1' ? 'too_long' : undefined);
	const parameters = (item) => ({ message: `order ${item}` });

	it('is told with its own item, and the others come out', async () => {
		const context = writing(parameters, { items, answer: taking(long), continueOnFail: true });
		const [first, second, third] = await runNode(context);
		assert.deepEqual([first.json.kept, third.json.kept], [true, true]);
		assert.equal(second.json.error, 'The log line was not kept');
		assert.match(second.json.message, /32 KiB.*\n2 other lines were kept.*\nCode: too_long/);
		assert.deepEqual(second.json.details, { code: 'too_long' });
		assert.deepEqual(second.pairedItem, { item: 1 });
	});

	it('ends the run, which is no success', async () => {
		const context = writing(parameters, { items, answer: taking(long) });
		const error = await failNode(context);
		assert.equal(error.message, 'The log line was not kept');
		assert.equal(error.context.itemIndex, 1);
	});

	it('is told by its code when nobody knows it here', async () => {
		const context = writing({ message: 'm' }, { answer: taking(() => 'of_tomorrow') });
		const error = await failNode(context);
		assert.equal(error.description, 'Code: of_tomorrow');
	});

	it('is each of them when the request is', async () => {
		const answer = () =>
			problem(429, 'logging.budget_used', "Today's logs are used up", {
				headers: { 'retry-after': '40000' },
			});
		const context = writing(parameters, { items, answer, continueOnFail: true });
		const output = await runNode(context);
		assert.deepEqual(
			output.map(({ json }) => json.details.code),
			Array(3).fill('logging.budget_used'),
		);
	});

	it('is none that an answer about fewer lines leaves out', async () => {
		const answer = () => ({ status: 200, body: { accepted: 1, refused: [], first_id: 'id-1' } });
		const error = await failNode(writing(parameters, { items, answer }));
		assert.match(error.message, /was sent 3 lines and answered for 1/);
	});
});

describe('search', () => {
	const line = { id: 'l-1', message: 'payment failed' };

	it('asks with its filters until there are as many as wanted, over pages that are short', async () => {
		const context = makeContext({
			parameters: {
				resource: 'log',
				operation: 'search',
				limit: 3,
				filters: {
					level: 'error',
					source: 'shop',
					words: '"payment failed" -retry',
					executionId: 4711,
					after: '2026-01-31T08:00:00Z',
				},
			},
			answer: ({ query }) => ({
				status: 200,
				body: query.cursor
					? { items: [line, line], next_cursor: 'c2' }
					: { items: [line], next_cursor: 'c1' },
			}),
		});
		assert.equal((await runNode(context)).length, 3);
		const asked = {
			level: 'error',
			source: 'shop',
			words: '"payment failed" -retry',
			execution_id: '4711',
			after: '2026-01-31T08:00:00.000Z',
		};
		assert.deepEqual(
			context.requests.map(({ method, path, query }) => [`${method} ${path}`, query]),
			[
				['GET /api/v1/logs', { limit: 3, ...asked }],
				['GET /api/v1/logs', { limit: 2, ...asked, cursor: 'c1' }],
			],
		);
	});

	it('gives all of them', async () => {
		const context = makeContext({
			parameters: { resource: 'log', operation: 'search', returnAll: true },
			answer: ({ query }) => ({
				status: 200,
				body: { items: query.cursor ? [line] : [], next_cursor: query.cursor ? null : 'c1' },
			}),
		});
		assert.deepEqual(
			(await runNode(context)).map(({ json }) => json),
			[line],
		);
	});
});
