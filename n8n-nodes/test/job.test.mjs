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
