import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, problem, runNode } from './support/context.mjs';

const asking = (operation, more, body) =>
	makeContext({ parameters: { resource: 'health', operation, ...more }, answer: () => ({ status: 200, body }) });

describe('health', () => {
	it('gives the verdict of a window as it is answered', async () => {
		const body = { verdict: { severity: 'warning', cause: 'bounces', sentence: '13 % bounce.' } };
		const context = asking('verdict', { filters: { minutes: 60 } }, body);
		const output = await runNode(context);
		const [{ method, path, query }] = context.requests;
		assert.equal(`${method} ${path}`, 'GET /api/v1/overview');
		assert.equal(String(query.minutes), '60');
		assert.deepEqual(output, [{ json: body, pairedItem: { item: 0 } }]);
	});

	it('asks how it was over hours', async () => {
		const context = asking('status', { filters: { hours: 2160 } }, { status: 'ready', uptime: null });
		await runNode(context);
		const [{ path, query }] = context.requests;
		assert.equal(path, '/api/v1/status');
		assert.equal(String(query.hours), '2160');
	});

	it('names the objective that is not there', async () => {
		const objective = '0199c0de-0000-7000-8000-000000000001';
		const context = makeContext({
			parameters: { resource: 'health', operation: 'objective', sloId: objective },
			answer: () => problem(404, 'monitoring.slo_not_found', 'No such objective'),
		});
		assert.match((await failNode(context)).message, /No such objective/);
		assert.equal(context.requests[0].path, `/api/v1/slos/${objective}`);
	});
});
