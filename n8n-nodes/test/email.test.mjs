import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
	failNode,
	makeClock,
	makeContext,
	problem,
	queued,
	runNode,
	sendParameters,
} from './support/context.mjs';
import { splitAddresses } from '../dist/nodes/EmailSender/resources/email/addresses.js';

const accepted = () => ({ status: 202, body: queued });

async function sentBody(parameters, more = {}) {
	const context = makeContext({
		parameters: { ...sendParameters, ...parameters },
		answer: accepted,
		...more,
	});
	await runNode(context);
	return context.requests[0].body;
}

describe('addresses', () => {
	for (const [what, value, expected] of [
		['one', 'ada@example.test', ['ada@example.test']],
		['several', ' a@x.test ,b@x.test,', ['a@x.test', 'b@x.test']],
		['with names', 'Ada <a@x.test>, Bob <b@x.test>', ['Ada <a@x.test>', 'Bob <b@x.test>']],
		[
			'a comma in quotes',
			'"Lovelace, Ada" <a@x.test>, b@x.test',
			['"Lovelace, Ada" <a@x.test>', 'b@x.test'],
		],
		['an escaped quote', '"A \\", B" <a@x.test>, b@x.test', ['"A \\", B" <a@x.test>', 'b@x.test']],
		[
			'a list, unsplit',
			['Lovelace, Ada <a@x.test>', 'b@x.test'],
			['Lovelace, Ada <a@x.test>', 'b@x.test'],
		],
		['nothing', '', []],
		['absent', undefined, []],
		['only commas', ' , ,', []],
	]) {
		it(`are split: ${what}`, () => assert.deepEqual(splitAddresses(value), expected));
	}
});

describe('send', () => {
	it('posts the smallest e-mail and returns what comes back', async () => {
		const context = makeContext({ parameters: sendParameters, answer: accepted });
		const output = await runNode(context);
		const [{ method, path, body }] = context.requests;
		assert.equal(`${method} ${path}`, 'POST /api/v1/emails');
		assert.deepEqual(body, { to: ['ada@example.test'], subject: 'Hello', text: 'Hi Ada' });
		assert.deepEqual(output, [{ json: queued, pairedItem: { item: 0 } }]);
	});

	it('posts everything a builder may give', async () => {
		const body = await sentBody(
			{
				to: 'Ada <ada@example.test>, grace@example.test',
				html: '<p>Hi</p>',
				businessKey: ' invoice-1 ',
				attachments: 'pdf, plain',
				options: {
					cc: 'c@example.test',
					bcc: 'b@example.test',
					replyTo: 'r@example.test',
					headers: {
						header: [
							{ name: 'X-Campaign', value: 'spring' },
							{ name: '', value: 'x' },
						],
					},
				},
			},
			{
				binary: {
					pdf: { fileName: 'invoice.pdf', mimeType: 'application/pdf', content: '%PDF' },
					plain: { fileExtension: 'txt', mimeType: 'text/plain', content: 'héllo' },
				},
			},
		);
		assert.deepEqual(body, {
			to: ['Ada <ada@example.test>', 'grace@example.test'],
			cc: ['c@example.test'],
			bcc: ['b@example.test'],
			subject: 'Hello',
			text: 'Hi Ada',
			html: '<p>Hi</p>',
			reply_to: 'r@example.test',
			headers: { 'X-Campaign': 'spring' },
			attachments: [
				{ filename: 'invoice.pdf', content_type: 'application/pdf', content: 'JVBERg==' },
				{ filename: 'plain.txt', content_type: 'text/plain', content: 'aMOpbGxv' },
			],
			business_key: 'invoice-1',
		});
	});

	it('posts a template with variables, typed or built by an expression', async () => {
		const template = { content: 'template', template: 'welcome' };
		const expected = { to: ['ada@example.test'], template: 'welcome', variables: { name: 'Ada' } };
		assert.deepEqual(await sentBody({ ...template, variables: '{"name":"Ada"}' }), expected);
		assert.deepEqual(await sentBody({ ...template, variables: { name: 'Ada' } }), expected);
		assert.deepEqual(await sentBody(template), { ...expected, variables: {} });
	});

	it('returns the first e-mail when the business key was used before', async () => {
		const first = { ...queued, state: 'accepted', business_key: 'invoice-1' };
		const context = makeContext({
			parameters: { ...sendParameters, businessKey: 'invoice-1' },
			answer: () => ({ status: 200, body: first }),
		});
		assert.deepEqual((await runNode(context))[0].json, first);
	});

	for (const [what, parameters, message] of [
		['no recipient', { to: ' , ' }, /no recipient/],
		['no content', { text: '' }, /e-mail is empty/],
		[
			'variables that are not JSON',
			{ content: 'template', template: 't', variables: '{' },
			/"Variables" is not JSON/,
		],
		[
			'variables that are a list',
			{ content: 'template', template: 't', variables: '[1]' },
			/"Variables" is not a JSON object/,
		],
		['an attachment that is not there', { attachments: 'nope' }, /'nope'/],
	]) {
		it(`refuses ${what} before any request`, async () => {
			const context = makeContext({
				parameters: { ...sendParameters, ...parameters },
				answer: () => assert.fail('no request expected'),
			});
			assert.match((await failNode(context)).message, message);
			assert.equal(context.requests.length, 0);
		});
	}
});

describe('waiting for delivery', () => {
	const waiting = (seconds) => ({ ...sendParameters, options: { waitSeconds: seconds } });
	const states =
		(...list) =>
		(request) =>
			request.method === 'POST'
				? accepted()
				: {
						status: 200,
						body: { ...queued, state: list.length > 1 ? list.shift() : list[0], timeline: [] },
					};

	for (const state of ['accepted', 'bounced', 'partial', 'cancelled']) {
		it(`ends when the e-mail is ${state}`, async () => {
			const clock = makeClock();
			const answer = states('queued', 'sending', 'deferred', state);
			const context = makeContext({ parameters: waiting(30), answer });
			const [{ json }] = await runNode(context, clock);
			assert.equal(json.state, state);
			assert.deepEqual(json.timeline, []);
			assert.deepEqual(clock.sleeps, [250, 375, 562.5]);
			assert.equal(context.requests[1].path, `/api/v1/emails/${queued.id}`);
		});
	}

	it('ends when time is up, with the e-mail as it stands', async () => {
		const clock = makeClock();
		const started = clock.now();
		const context = makeContext({ parameters: waiting(5), answer: states('deferred') });
		const [{ json }] = await runNode(context, clock);
		assert.equal(json.state, 'deferred');
		assert.equal(clock.now() - started, 5000);
	});

	it('looks no more often than every two seconds in the long run', async () => {
		const clock = makeClock();
		await runNode(makeContext({ parameters: waiting(60), answer: states('queued') }), clock);
		assert.equal(Math.max(...clock.sleeps), 2000);
	});

	it('does not happen unless asked for', async () => {
		const context = makeContext({ parameters: sendParameters, answer: accepted });
		await runNode(context);
		assert.equal(context.requests.length, 1);
	});

	it('obeys rate limits while it looks', async () => {
		const clock = makeClock();
		const answer = (request, nth) =>
			nth === 2
				? problem(429, 'rate_limited', 'Slow', { headers: { 'retry-after': '3' } })
				: states('accepted')(request);
		await runNode(makeContext({ parameters: waiting(30), answer }), clock);
		assert.deepEqual(clock.sleeps, [3000]);
	});
});

describe('get', () => {
	const parameters = { resource: 'email', operation: 'get', emailId: queued.id };

	it('reads one e-mail', async () => {
		const detail = { ...queued, recipients: [], timeline: [] };
		const context = makeContext({ parameters, answer: () => ({ status: 200, body: detail }) });
		const output = await runNode(context);
		const [{ method, path, body }] = context.requests;
		assert.equal(`${method} ${path}`, `GET /api/v1/emails/${queued.id}`);
		assert.equal(body, undefined);
		assert.deepEqual(output, [{ json: detail, pairedItem: { item: 0 } }]);
	});

	for (const emailId of ['', '..', '.', 'a/b', 'a?b', '%2e%2e', 'a b']) {
		it(`refuses the ID "${emailId}" before any request`, async () => {
			const context = makeContext({
				parameters: { ...parameters, emailId },
				answer: () => assert.fail('no request expected'),
			});
			assert.match((await failNode(context)).message, /is not an ID/);
		});
	}
});

describe('list', () => {
	const parameters = { resource: 'email', operation: 'list' };
	/** Serves `total` e-mails in pages, as the API does. */
	const serve =
		(total) =>
		({ query }) => {
			const from = Number(query.cursor ?? 0);
			const to = Math.min(from + query.limit, total);
			const found = Array.from({ length: to - from }, (_, index) => ({ id: `e${from + index}` }));
			return { status: 200, body: { items: found, next_cursor: to < total ? String(to) : null } };
		};
	const queries = ({ requests }) => requests.map(({ query }) => query);

	it('returns up to 50 unless told otherwise', async () => {
		const context = makeContext({ parameters, answer: serve(70) });
		assert.equal((await runNode(context)).length, 50);
		assert.deepEqual(queries(context), [{ limit: 50 }]);
	});

	it('fetches no more than the limit', async () => {
		const context = makeContext({ parameters: { ...parameters, limit: 250 }, answer: serve(1000) });
		const output = await runNode(context);
		assert.equal(output.length, 250);
		assert.deepEqual(queries(context), [{ limit: 200 }, { limit: 50, cursor: '200' }]);
	});

	it('follows the cursor to the end when all are wanted', async () => {
		const context = makeContext({
			parameters: { ...parameters, returnAll: true },
			answer: serve(450),
		});
		const output = await runNode(context);
		assert.equal(output.length, 450);
		assert.equal(new Set(output.map(({ json }) => json.id)).size, 450);
		assert.equal(context.requests.length, 3);
		assert.deepEqual(output[449], { json: { id: 'e449' }, pairedItem: { item: 0 } });
	});

	it('passes the filters on every page', async () => {
		const filters = { state: 'bounced', recipient: 'ada@example.test' };
		const context = makeContext({
			parameters: { ...parameters, returnAll: true, filters },
			answer: serve(201),
		});
		await runNode(context);
		assert.deepEqual(queries(context), [
			{ limit: 200, ...filters },
			{ limit: 200, ...filters, cursor: '200' },
		]);
	});

	it('gives no item when nothing is found', async () => {
		assert.deepEqual(await runNode(makeContext({ parameters, answer: serve(0) })), []);
	});

	it('fails rather than run in circles', async () => {
		const answer = () => ({ status: 200, body: { items: [{ id: 'e0' }], next_cursor: 'same' } });
		const context = makeContext({ parameters: { ...parameters, returnAll: true }, answer });
		assert.match((await failNode(context)).message, /cursor was repeated/);
		assert.equal(context.requests.length, 2);
	});
});
