import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, problem, runNode } from './support/context.mjs';

describe('record', () => {
	const parameters = {
		resource: 'metric',
		operation: 'record',
		name: 'orders_total',
		kind: 'counter',
		value: '3',
		labels: { shop: 7, till: '', place: null },
	};
	const observed = { name: 'orders_total', kind: 'counter', value: 3, labels: { shop: '7' } };

	it('sends one observation, its labels as texts', async () => {
		const context = makeContext({
			parameters,
			answer: () => ({ status: 200, body: { accepted: 1, refused: 0, items: [] } }),
		});
		const output = await runNode(context);
		const [{ method, path, body, headers }] = context.requests;
		assert.equal(`${method} ${path}`, 'POST /api/v1/metrics');
		assert.deepEqual(body, { items: [observed] });
		assert.ok(headers['idempotency-key']);
		assert.deepEqual(output, [{ json: observed, pairedItem: { item: 0 } }]);
	});

	it('shows why it was refused', async () => {
		const answer = () => problem(422, 'metrics.too_many_series', 'At most 10000 series of a tenant');
		const error = await failNode(makeContext({ parameters, answer }));
		assert.match(error.message, /At most 10000 series/);
	});

	it('refuses labels that are no object, before any request', async () => {
		const context = makeContext({
			parameters: { ...parameters, labels: '["a"]' },
			answer: () => assert.fail('no request expected'),
		});
		assert.match((await failNode(context)).message, /"Labels" is not a JSON object/);
	});
});

describe('query', () => {
	it('asks for the window and gives the lines as they are answered', async () => {
		const found = { name: 'orders_total', kind: 'counter', step_seconds: 60, lines: [] };
		const context = makeContext({
			parameters: {
				resource: 'metric',
				operation: 'query',
				name: 'orders_total',
				aggregate: 'sum',
				filters: { by: 'shop', withWeekBefore: true, since: '2026-07-01T00:00:00Z' },
			},
			answer: () => ({ status: 200, body: found }),
		});
		const output = await runNode(context);
		const [{ method, path, query }] = context.requests;
		assert.equal(method, 'GET');
		assert.equal(path, '/api/v1/metrics/query');
		assert.equal(query.by, 'shop');
		assert.equal(query.aggregate, 'sum');
		assert.equal(query.since, '2026-07-01T00:00:00.000Z');
		assert.equal(String(query.with_week_before), 'true');
		assert.deepEqual(output, [{ json: found, pairedItem: { item: 0 } }]);
	});
});
