import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeClock, makeContext, problem, runNode } from './support/context.mjs';

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
			assert.deepEqual(body, operation === 'retry' ? {} : undefined);
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

describe('retry with something else', () => {
	const parameters = { resource: 'job', operation: 'retry', jobId: 'job-1' };

	it('gives it what was added', async () => {
		const args = '{ "url": "https://right.example.com/" }';
		const context = makeContext({
			parameters: { ...parameters, additionalFields: { args } },
			answer: () => ({ status: 200, body: job }),
		});
		await runNode(context);
		assert.deepEqual(context.requests[0].body, { args: JSON.parse(args) });
	});

	it('refuses what is no JSON object before it asks', async () => {
		const context = makeContext({
			parameters: { ...parameters, additionalFields: { args: '[1]' } },
			answer: () => assert.fail('no request expected'),
		});
		assert.match((await failNode(context)).message, /"Args" is not a JSON object/);
	});
});

describe('submit', () => {
	it('hands it in and gives the job', async () => {
		const context = makeContext({
			parameters: {
				resource: 'job',
				operation: 'submit',
				kind: 'http.request',
				args: '{ "url": "https://api.example.com/" }',
				additionalFields: { maxAttempts: '3', dedupKey: 'order-7', delaySeconds: 0 },
			},
			answer: () => ({ status: 201, body: job }),
		});
		const [{ json }] = await runNode(context);
		assert.deepEqual(json, job);
		const [{ method, path, body }] = context.requests;
		assert.equal(`${method} ${path}`, 'POST /api/v1/jobs');
		assert.deepEqual(body, {
			kind: 'http.request',
			args: { url: 'https://api.example.com/' },
			max_attempts: 3,
			dedup_key: 'order-7',
			delay_seconds: 0,
		});
	});
});

describe('wait', () => {
	const parameters = { resource: 'job', operation: 'wait', jobId: 'job-1', waitSeconds: 60 };
	const asStates =
		(...states) =>
		(_, nth) => ({ status: 200, body: { ...job, state: states[Math.min(nth, states.length) - 1] } });

	for (const state of ['succeeded', 'dead', 'cancelled', 'skipped']) {
		it(`ends with a job that is ${state}, and asks less and less often`, async () => {
			const clock = makeClock();
			const context = makeContext({
				parameters,
				answer: asStates('ready', 'running', 'running', state),
			});
			const [{ json }] = await runNode(context, clock);
			assert.equal(json.state, state);
			assert.deepEqual(clock.sleeps, [500, 750, 1125]);
		});
	}

	it('gives the job as it stands when the time is over, and is not late', async () => {
		const clock = makeClock();
		const context = makeContext({ parameters, answer: asStates('running') });
		const [{ json }] = await runNode(context, clock);
		assert.equal(json.state, 'running');
		const waited = clock.sleeps.reduce((sum, one) => sum + one, 0);
		assert.equal(waited, 60_000);
		assert.equal(Math.max(...clock.sleeps), 10_000);
	});

	it('looks once when nothing is to be waited for', async () => {
		const clock = makeClock();
		const context = makeContext({
			parameters: { ...parameters, waitSeconds: 0 },
			answer: asStates('running'),
		});
		await runNode(context, clock);
		assert.equal(context.requests.length, 1);
		assert.deepEqual(clock.sleeps, []);
	});

	it('shows that there is none', async () => {
		const answer = () => problem(404, 'orchestrator.job_not_found', 'Job not found');
		assert.equal((await failNode(makeContext({ parameters, answer }))).message, 'Job not found');
	});
});

describe('cancel many', () => {
	it('goes on part by part and gives the sums', async () => {
		const context = makeContext({
			parameters: {
				resource: 'job',
				operation: 'cancelMany',
				state: 'ready',
				filters: { kind: 'http.request', error: 'It answered 503' },
			},
			answer: ({ body }) => ({
				status: 200,
				body: { cancelled: 100, asked: 0, next_cursor: body.cursor ? null : 'c1' },
			}),
		});
		const [{ json }] = await runNode(context);
		assert.deepEqual(json, { cancelled: 200, asked: 0 });
		const asked = { state: 'ready', kind: 'http.request', error: 'It answered 503' };
		assert.deepEqual(
			context.requests.map(({ method, path, body }) => [`${method} ${path}`, body]),
			[
				['POST /api/v1/jobs/cancel', asked],
				['POST /api/v1/jobs/cancel', { ...asked, cursor: 'c1' }],
			],
		);
	});
});

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

describe('getAttempts', () => {
	it('gives an item for each', async () => {
		const parameters = { resource: 'job', operation: 'getAttempts', jobId: 'job-1' };
		const attempts = [
			{ attempt: 2, outcome: 'running', error: null },
			{ attempt: 1, outcome: 'failed', error: 'It answered 503' },
		];
		const answer = () => ({ status: 200, body: { items: attempts } });
		const context = makeContext({ parameters, answer });
		const output = await runNode(context);
		const [{ method, path }] = context.requests;
		assert.equal(`${method} ${path}`, 'GET /api/v1/jobs/job-1/attempts');
		assert.deepEqual(
			output,
			attempts.map((json) => ({ json, pairedItem: { item: 0 } })),
		);
	});
});
