import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, problem, runNode } from './support/context.mjs';

for (const [operation, filters, expected] of [
	['get', undefined, 'GET /api/v1/me'],
	['quotas', undefined, 'GET /api/v1/quotas'],
	['usage', { from: '2026-11-01', to: '' }, 'GET /api/v1/usage'],
]) {
	describe(operation, () => {
		const parameters = { resource: 'tenant', operation, ...(filters ? { filters } : {}) };

		it(`calls ${expected}`, async () => {
			const body = { what: operation };
			const context = makeContext({ parameters, answer: () => ({ status: 200, body }) });
			const output = await runNode(context);
			const [{ method, path, query }] = context.requests;
			assert.equal(`${method} ${path}`, expected);
			if (filters) assert.equal(query.from, '2026-11-01');
			assert.deepEqual(output, [{ json: body, pairedItem: { item: 0 } }]);
		});

		it('shows why it was refused', async () => {
			const answer = () => problem(403, 'tenant.suspended', 'The invoice is unpaid');
			const error = await failNode(makeContext({ parameters, answer }));
			assert.match(`${error.message} ${error.description}`, /unpaid/);
		});
	});
}
