import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, problem, runNode } from './support/context.mjs';

const job = { id: 'job-1', kind: 'email.deliver', state: 'ready', subject: 'email:e1' };

for (const [operation, expected] of [
	['get', 'GET /api/v1/jobs/job-1'],
	['cancel', 'POST /api/v1/jobs/job-1/cancel'],
	['retry', 'POST /api/v1/jobs/job-1/retry'],
]) {
	describe(operation, () => {
		const parameters = { resource: 'job', operation, jobId: 'job-1' };

		it(`calls ${expected}`, async () => {
			const context = makeContext({ parameters, answer: () => ({ status: 200, body: job }) });
			const output = await runNode(context);
			const [{ method, path, body }] = context.requests;
			assert.equal(`${method} ${path}`, expected);
			assert.equal(body, undefined);
			assert.deepEqual(output, [{ json: job, pairedItem: { item: 0 } }]);
		});

		it('shows why it was refused', async () => {
			const answer = () =>
				problem(409, `orchestrator.job_not_${operation}`, 'The job has finished');
			const error = await failNode(makeContext({ parameters, answer }));
			assert.equal(error.message, 'The job has finished');
		});

		it('refuses an empty ID', async () => {
			const context = makeContext({
				parameters: { ...parameters, jobId: '' },
				answer: () => assert.fail('no request expected'),
			});
			assert.match((await failNode(context)).message, /is not an ID/);
		});
	});
}

describe('retry many', () => {
	const parameters = { resource: 'job', operation: 'retryMany' };

	it('goes on part by part, each under a key of its own, and gives the sums', async () => {
		const context = makeContext({
			parameters: {
				...parameters,
				state: 'cancelled',
				filters: { kind: 'email.send', createdAfter: '2026-07-01T00:00:00Z' },
			},
			answer: ({ body }) => ({
				status: 200,
				body: { retried: 100, refused: 1, next_cursor: body.cursor ? null : 'c1' },
			}),
		});
		const [{ json }] = await runNode(context);
		assert.deepEqual(json, { retried: 200, refused: 2 });
		const asked = {
			state: 'cancelled',
			kind: 'email.send',
			created_after: '2026-07-01T00:00:00.000Z',
		};
		assert.deepEqual(
			context.requests.map(({ method, path, body }) => [`${method} ${path}`, body]),
			[
				['POST /api/v1/jobs/retry', asked],
				['POST /api/v1/jobs/retry', { ...asked, cursor: 'c1' }],
			],
		);
		const keys = context.requests.map(({ headers }) => headers['idempotency-key']);
		assert.equal(new Set(keys).size, 2);
	});

	it('does not go round in circles', async () => {
		let asked = 0;
		const context = makeContext({
			parameters: { ...parameters, state: 'dead' },
			answer: () => {
				asked += 1;
				assert.ok(asked < 4, 'it goes on and on');
				return { status: 200, body: { retried: 1, refused: 0, next_cursor: 'c1' } };
			},
		});
		assert.match((await failNode(context)).message, /cursor was repeated/);
		assert.equal(asked, 2);
	});

	it('retries nothing when a filter comes out empty', async () => {
		const context = makeContext({
			parameters: { ...parameters, filters: { kind: '' } },
			written: { filters: { kind: '={{ $json.kind }}' } },
			answer: () => assert.fail('no request expected'),
		});
		assert.match((await failNode(context)).message, /The expression in "Kind" gives nothing/);
	});
});
