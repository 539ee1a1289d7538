import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, problem, runNode } from './support/context.mjs';

const answer = () => ({ status: 200, body: { value: { password: 'p' }, version: 3 } });
const secret = (operation, more = {}) => ({ resource: 'secret', operation, ...more });

describe('get', () => {
	it('reads by path and environment, and another version when asked to', async () => {
		const where = { path: 'billing/smtp', environment: 'production' };
		const parameters = secret('get', { ...where, filters: { version: 2, references: 'keep' } });
		const context = makeContext({ parameters, answer });
		const [item] = await runNode(context);
		const [{ method, path, query }] = context.requests;
		assert.equal(`${method} ${path}`, 'GET /api/v1/secrets/by-path/value');
		assert.deepEqual({ ...query }, { ...where, version: 2, references: 'keep' });
		assert.deepEqual(item.json.value, { password: 'p' });
	});
});

describe('getOnce', () => {
	const parameters = secret('getOnce', { token: 'es_once_1' });

	it('says which workflow and execution asks, as n8n calls them', async () => {
		const context = makeContext({ parameters, answer, workflowId: 'w7', executionId: '4711' });
		await runNode(context);
		const [{ method, path, body }] = context.requests;
		assert.equal(`${method} ${path}`, 'POST /api/v1/secrets/tokens/redeem');
		assert.deepEqual(body, { token: 'es_once_1', workflow_id: 'w7', execution_id: '4711' });
	});

	it('takes neither from what the builder filled in', async () => {
		const lying = { ...parameters, workflowId: 'other', executionId: '1' };
		const context = makeContext({ parameters: lying, answer, workflowId: 'w7' });
		await runNode(context);
		assert.equal(context.requests[0].body.workflow_id, 'w7');
		assert.equal(context.requests[0].body.execution_id, '17');
	});

	it('asks nothing where n8n names no execution', async () => {
		for (const [missing, word] of [
			[{ executionId: '' }, /no execution/],
			[{ workflowId: '' }, /no workflow/],
		]) {
			const context = makeContext({ parameters, answer, ...missing });
			const error = await failNode(context);
			assert.match(error.message, word);
			assert.equal(context.requests.length, 0);
		}
	});

	it('fails once the token is spent', async () => {
		const spent = () => problem(410, 'secrets.token_spent', 'It was used');
		const error = await failNode(makeContext({ parameters, answer: spent }));
		assert.match(`${error.message} ${error.description}`, /It was used[^]*secrets\.token_spent/);
		assert.equal(error.httpCode, '410');
	});
});

describe('a lost answer', () => {
	it('fails the second try, which is given everything but the secret', async () => {
		const said = 'The secret was shown once. Have another token made.';
		for (const [operation, rest] of [
			['getOnce', { path: 'a', version: 1 }],
			['issueToken', { id: '1' }],
		]) {
			const withheld = () => ({ status: 200, body: { ...rest, secret_withheld: said } });
			const where = { token: 'es_once_1', path: 'a', environment: 'default', workflowId: 'w7' };
			const parameters = secret(operation, { ...where, executionId: '', options: {} });
			const error = await failNode(makeContext({ parameters, answer: withheld }));
			assert.match(error.message, /shown once/);
			assert.equal(error.description, said);
		}
	});

	it('is none where the first one arrived', async () => {
		const given = () => ({ status: 200, body: { value: 'v', secret_withheld: null } });
		const parameters = secret('getOnce', { token: 'es_once_1' });
		const [item] = await runNode(makeContext({ parameters, answer: given }));
		assert.equal(item.json.value, 'v');
	});
});

describe('issueToken', () => {
	it('binds to this workflow and execution unless told otherwise', async () => {
		const parameters = secret('issueToken', {
			path: 'a',
			environment: 'default',
			workflowId: 'w7',
			executionId: '',
			options: { ttlSeconds: 60 },
		});
		const context = makeContext({ parameters, answer });
		await runNode(context);
		assert.deepEqual(context.requests[0].body, {
			path: 'a',
			environment: 'default',
			workflow_id: 'w7',
			ttl_seconds: 60,
		});
	});
});

describe('set', () => {
	const where = { path: 'a', environment: 'default' };

	it('sends an object of texts, typed or given by an expression', async () => {
		for (const value of ['{"user": "ada"}', { user: 'ada' }]) {
			const parameters = secret('set', { ...where, valueIs: 'object', value, options: { cas: 0 } });
			const context = makeContext({ parameters, answer });
			await runNode(context);
			assert.deepEqual(context.requests[0].body, { ...where, value: { user: 'ada' }, cas: 0 });
		}
	});

	it('sends one text as it is', async () => {
		for (const [value, sent] of [
			['{"not": "read"}', '{"not": "read"}'],
			[7, '7'],
		]) {
			const parameters = secret('set', { ...where, valueIs: 'text', value });
			const context = makeContext({ parameters, answer });
			await runNode(context);
			assert.deepEqual(context.requests[0].body, { ...where, value: sent });
		}
	});

	it('refuses what is no value without repeating it', async () => {
		for (const [valueIs, value] of [
			['object', 'hunter2'],
			['object', '{"password": "hunter2"'],
			['object', ['hunter2']],
			['object', { password: ['hunter2'] }],
			['text', { password: 'hunter2' }],
		]) {
			const parameters = secret('set', { ...where, valueIs, value });
			const context = makeContext({ parameters, answer });
			const error = await failNode(context);
			assert.doesNotMatch(`${error.message} ${error.description}`, /hunter2/);
			assert.equal(context.requests.length, 0);
		}
	});
});
