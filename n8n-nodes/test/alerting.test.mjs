import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeContext, problem, runNode } from './support/context.mjs';

const found = {
	id: 'i-1',
	title: 'The import stands still',
	severity: 'critical',
	lead: null,
	summary: 'Nothing came',
	cause: '',
	follow_up: 'More disks',
	version: '7',
};

async function run(parameters, answer = () => ({ status: 200, body: { id: 'x' } })) {
	const context = makeContext({ parameters, answer });
	const output = await runNode(context);
	return { requests: context.requests, output: output.map(({ json }) => json) };
}

describe('incident', () => {
	const update = { resource: 'incident', operation: 'update', incidentId: 'i-1' };
	const answer = ({ method, body }) => ({
		status: 200,
		body: method === 'GET' ? found : { ...found, ...body },
	});

	it('is updated in what is given, and in nothing that somebody else changed meanwhile', async () => {
		const updateFields = { cause: 'A disk was full', followUp: '' };
		const { requests, output } = await run({ ...update, updateFields }, answer);
		assert.deepEqual(
			requests.map(({ method, path }) => `${method} ${path}`),
			['GET /api/v1/incidents/i-1', 'PUT /api/v1/incidents/i-1'],
		);
		assert.equal(requests[1].headers['if-match'], '"7"');
		assert.deepEqual(requests[1].body, {
			title: 'The import stands still',
			severity: 'critical',
			lead: null,
			summary: 'Nothing came',
			cause: 'A disk was full',
			follow_up: '',
		});
		assert.equal(output[0].cause, 'A disk was full');
	});

	it('that was changed meanwhile is not updated', async () => {
		const changed = (request) =>
			request.method === 'GET'
				? answer(request)
				: problem(412, 'alerting.incident_changed', 'It was changed meanwhile');
		await assert.rejects(run({ ...update, updateFields: {} }, changed), /changed meanwhile/);
	});

	it('takes alerts as people write them, and as an expression gives them', async () => {
		const add = { resource: 'incident', operation: 'addAlerts', incidentId: 'i-1' };
		for (const alertIds of ['a-1, a-2', 'a-1\na-2', ['a-1', 'a-2']]) {
			const { requests } = await run({ ...add, alertIds });
			assert.deepEqual(requests[0].body, { alert_ids: ['a-1', 'a-2'] });
		}
	});
});

describe('alert', () => {
	it('is assigned to somebody, or taken from whoever has it', async () => {
		const assign = { resource: 'alert', operation: 'assign', alertId: 'a-1' };
		for (const [assignee, sent] of [
			['ada@example.test', 'ada@example.test'],
			['', null],
		]) {
			const { requests } = await run({ ...assign, assignee });
			assert.deepEqual(requests[0].body, { assignee: sent });
		}
	});

	it('is snoozed, and told of again by 0', async () => {
		const snooze = { resource: 'alert', operation: 'snooze', alertId: 'a-1', text: '' };
		for (const seconds of [600, 0]) {
			const { requests } = await run({ ...snooze, seconds });
			assert.deepEqual(requests[0].body, { seconds });
		}
	});
});
