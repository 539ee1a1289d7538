import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
	accepted,
	failNode,
	makeClock,
	makeContext,
	problem,
	queued,
	runNode,
	sendParameters,
} from './support/context.mjs';
import {
	getRelays,
	getTemplates,
	getTemplateVariables,
	variablesIn,
} from '../dist/nodes/EmailSender/resources/email/choices.js';
import { splitAddresses } from '../dist/nodes/EmailSender/resources/email/addresses.js';

const NOON = new Date('2026-07-02T12:00:00Z');

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
		[
			'semicolons and lines',
			'a@x.test; b@x.test\r\nc@x.test;',
			['a@x.test', 'b@x.test', 'c@x.test'],
		],
		['a semicolon in quotes', '"A; B" <a@x.test>; b@x.test', ['"A; B" <a@x.test>', 'b@x.test']],
		['objects', [{ email: 'a@x.test' }, { address: 'b@x.test' }], ['a@x.test', 'b@x.test']],
		['a name', { email: 'a@x.test', name: 'A "B", C' }, ['"A \\"B\\", C" <a@x.test>']],
		[
			'nothing among them',
			['a@x.test', null, undefined, ' ', ['b@x.test']],
			['a@x.test', 'b@x.test'],
		],
	]) {
		it(`are split: ${what}`, () => assert.deepEqual(splitAddresses(value), expected));
	}

	for (const [what, value] of [
		['a number', [7]],
		['an object without one', [{ mail: 'a@x.test' }]],
		['a boolean', true],
	]) {
		it(`are refused: ${what}`, async () => {
			const context = makeContext({
				parameters: { ...sendParameters, to: value },
				answer: accepted,
			});
			assert.match((await failNode(context)).message, /"To" has an? (number|object|boolean)/);
			assert.equal(context.requests.length, 0);
		});
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

	it('posts a sender, an ID, several replies, a time and an invitation', async () => {
		const content = 'BEGIN:VCALENDAR\nMETHOD:CANCEL\nEND:VCALENDAR';
		const body = await sentBody({
			options: {
				from: ' Acme Billing <billing@example.test> ',
				messageId: '<order-7@example.test>',
				relay: 'news',
				replyTo: 'a@example.test; "B, C" <b@example.test>',
				sendAt: '2026-12-24T08:00:00+01:00',
				calendar: { invitation: { method: 'CANCEL', content } },
			},
		});
		assert.deepEqual(body, {
			to: ['ada@example.test'],
			subject: 'Hello',
			text: 'Hi Ada',
			from: 'Acme Billing <billing@example.test>',
			message_id: '<order-7@example.test>',
			relay: 'news',
			reply_to: ['a@example.test', '"B, C" <b@example.test>'],
			send_at: '2026-12-24T07:00:00.000Z',
			calendar: { method: 'CANCEL', content },
		});
	});

	it('puts inline images behind the attachments, named as the HTML names them', async () => {
		const image = (content) => ({ fileName: `${content}.png`, mimeType: 'image/png', content });
		const body = await sentBody(
			{
				html: '<img src="cid:logo"><img src="cid:photo">',
				attachments: 'data',
				options: {
					inlineImages: {
						image: [{ binaryField: 'photo' }, { binaryField: 'data', contentId: 'logo' }],
					},
				},
			},
			{ binary: { data: image('one'), photo: image('two') } },
		);
		assert.deepEqual(
			body.attachments.map(({ filename, content_id: id }) => [filename, id]),
			[
				['one.png', undefined],
				['two.png', 'photo'],
				['one.png', 'logo'],
			],
		);
		assert.equal('inline_images' in body, false);
	});

	for (const [what, sendAt, expected] of [
		['without an offset, in the time zone of the workflow', '2026-07-01T08:00:00', '06'],
		['of SQL', '2026-07-01 08:00:00', '06'],
		['with an offset', '2026-07-01T08:00:00-01:00', '09'],
		['of another language', new Date('2026-07-01T08:00:00Z'), '08'],
	]) {
		it(`takes a time ${what}`, async () => {
			const { send_at: told } = await sentBody({ options: { sendAt } });
			assert.equal(told, `2026-07-01T${expected}:00:00.000Z`);
		});
	}

	for (const [what, options, told] of [
		['a number as a time', { sendAt: 1_790_000_000 }, /"Send At" is not a time: 1790000000/],
		['a year as a time', { sendAt: '2026' }, /"Send At" is not a time/],
		['a day that is none', { sendAt: '2026-02-31T08:00:00' }, /"Send At" is not a time/],
		['an invitation without a text', { calendar: { invitation: {} } }, /has no text/],
		['an image of no field', { inlineImages: { image: [{ contentId: 'x' }] } }, /no binary field/],
		['an image that is not there', { inlineImages: { image: [{ binaryField: 'x' }] } }, /'x'/],
	]) {
		it(`refuses ${what} before any request`, async () => {
			const context = makeContext({
				parameters: { ...sendParameters, options },
				answer: accepted,
			});
			assert.match((await failNode(context)).message, told);
			assert.equal(context.requests.length, 0);
		});
	}

	for (const name of ['sendAt', 'from', 'messageId', 'relay']) {
		it(`refuses an expression for ${name} that gives nothing`, async () => {
			const context = makeContext({
				parameters: { ...sendParameters, options: { [name]: '' } },
				written: { options: { [name]: '={{ $json.missing }}' } },
				answer: accepted,
			});
			assert.match((await failNode(context)).message, /The expression in ".*" gives nothing/);
			assert.equal(context.requests.length, 0);
		});
	}

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
		assert.deepEqual((await runNode(context))[0].json, { ...first, deduplicated: true });
		assert.match(context.hints[0].message, /Nothing was sent for "Hello"/);
	});

	it('posts the variables that were given one by one', async () => {
		const body = await sentBody({
			content: 'template',
			template: 'welcome',
			variablesFrom: 'fields',
			variables: {
				variable: [{ name: 'name', value: 'Ada' }, { name: 'n', value: 7 }, { name: '' }],
			},
		});
		assert.deepEqual(body.variables, { name: 'Ada', n: 7 });
	});

	it('posts the text or the HTML that is shown, as saved workflows do both', async () => {
		const both = { text: 'Hi', html: '<p>Hi</p>' };
		const sent = async (format) => {
			const { text, html } = await sentBody({ ...both, ...format });
			return [text, html];
		};
		assert.deepEqual(await sent({ format: 'text' }), ['Hi', undefined]);
		assert.deepEqual(await sent({ format: 'html' }), [undefined, '<p>Hi</p>']);
		assert.deepEqual(await sent({ format: 'both' }), ['Hi', '<p>Hi</p>']);
		assert.deepEqual(await sent({}), ['Hi', '<p>Hi</p>']);
	});

	it('goes to BCC alone', async () => {
		const body = await sentBody({ to: '', options: { bcc: 'b@example.test' } });
		assert.deepEqual(body, { bcc: ['b@example.test'], subject: 'Hello', text: 'Hi Ada' });
	});

	it('makes texts of numbers, booleans and times', async () => {
		const body = await sentBody({
			subject: 0,
			text: false,
			html: 7,
			options: {
				replyTo: 5,
				headers: {
					header: [
						{ name: 'X-Order-Id', value: 42 },
						{ name: 7, value: true },
						{ name: 'X-When', value: { toISO: () => '2026-01-01T00:00:00.000Z' } },
						{ name: 'X-None', value: null },
						null,
					],
				},
			},
		});
		assert.deepEqual(body, {
			to: ['ada@example.test'],
			subject: '0',
			text: 'false',
			html: '7',
			reply_to: '5',
			headers: {
				'X-Order-Id': '42',
				7: 'true',
				'X-When': '2026-01-01T00:00:00.000Z',
				'X-None': '',
			},
		});
		assert.equal((await sentBody({ content: 'template', template: 7 })).template, '7');
	});

	for (const attachments of [null, undefined, '', [], [null], false, ' , ']) {
		it(`takes ${JSON.stringify(attachments)} for no attachments`, async () => {
			const context = makeContext({ parameters: sendParameters, answer: accepted });
			const { getNodeParameter } = context;
			context.getNodeParameter = (name, item) =>
				name === 'attachments' ? attachments : getNodeParameter(name, item);
			await runNode(context);
			assert.equal(context.requests[0].body.attachments, undefined);
		});
	}

	it('lets the caller get the first e-mail whatever it says', async () => {
		const body = await sentBody({ businessKey: 'k', options: { onKeyConflict: 'return_first' } });
		assert.equal(body.on_key_conflict, 'return_first');
	});

	for (const [what, parameters, message] of [
		['no recipient', { to: ' , ' }, /no recipient in "To", "CC" or "BCC"/],
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
		['an attachment that is a number', { attachments: 5 }, /'5'/],
		['an attachment that is an object', { attachments: { a: 1 } }, /"Attachments" is an object/],
		['an attachment that is a boolean', { attachments: true }, /"Attachments" is a boolean/],
		['a subject that is an object', { subject: { a: 1 } }, /"Subject" is an object, not a text/],
		['a text that is a list', { text: ['a'] }, /"Text" is a list, not a text/],
		['a wait that is no number', { options: { waitSeconds: 'soon' } }, /not a number: "soon"/],
		[
			'a header given twice',
			{
				options: {
					headers: {
						header: [
							{ name: 'X-A', value: 1 },
							{ name: 'x-a', value: 2 },
						],
					},
				},
			},
			/header "x-a" is given twice/,
		],
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
				? accepted(request)
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

	it('takes "5s" for five seconds', async () => {
		const clock = makeClock();
		const started = clock.now();
		const context = makeContext({ parameters: waiting('5s'), answer: states('deferred') });
		await runNode(context, clock);
		assert.equal(clock.now() - started, 5000);
	});

	for (const [what, failing] of [
		['500', () => problem(500, 'internal', 'Internal error')],
		['a page', () => ({ status: 200, body: '<html>' })],
		[
			'a reset',
			() => {
				throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
			},
		],
	]) {
		it(`goes on after a look that met ${what}`, async () => {
			const answer = (request, nth) => (nth === 2 ? failing() : states('accepted')(request));
			const context = makeContext({ parameters: waiting(30), answer });
			const [{ json }] = await runNode(context);
			assert.equal(json.state, 'accepted');
			assert.equal(json.wait_error, undefined);
		});
	}

	for (const status of [401, 403, 404, 500]) {
		it(`gives the accepted e-mail when every look is answered ${status}`, async () => {
			const answer = (request) =>
				request.method === 'POST' ? accepted(request) : problem(status, 'x', 'Not now');
			const context = makeContext({ parameters: waiting(20), answer });
			const [{ json }] = await runNode(context);
			assert.equal(json.id, queued.id);
			assert.equal(json.wait_error, 'Not now');
		});
	}

	it('keeps telling that the key was used before', async () => {
		const answer = (request) =>
			request.method === 'POST' ? { status: 200, body: queued } : states('accepted')(request);
		const [{ json }] = await runNode(makeContext({ parameters: waiting(5), answer }));
		assert.deepEqual([json.state, json.deduplicated], ['accepted', true]);
	});

	it('sends all items before it looks at any, and looks at all in turns', async () => {
		const clock = makeClock();
		const started = clock.now();
		const context = makeContext({
			parameters: waiting(5),
			items: [{ json: {} }, { json: {} }, { json: {} }],
			answer: states('deferred'),
		});
		assert.equal((await runNode(context, clock)).length, 3);
		assert.equal(clock.now() - started, 5000);
		assert.deepEqual(
			context.requests.slice(0, 4).map(({ method }) => method),
			['POST', 'GET', 'GET', 'GET'],
		);
	});

	it('comes back to each until it is settled', async () => {
		const looks = ['deferred', 'deferred', 'deferred'];
		const context = makeContext({
			parameters: waiting(5),
			items: [{ json: {} }, { json: {} }, { json: {} }],
			answer: states(...looks, 'accepted'),
		});
		const output = await runNode(context);
		assert.deepEqual(
			output.map(({ json }) => json.state),
			['accepted', 'accepted', 'accepted'],
		);
		assert.equal(context.requests.length, 1 + 2 * looks.length);
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

	it('does not wait for what goes out later, and waits on for what goes out meanwhile', async () => {
		const sent = async (seconds) => {
			const clock = makeClock();
			const later = new Date(clock.now() + seconds * 1000).toISOString();
			const email = { ...queued, send_at: later };
			const context = makeContext({
				parameters: { ...sendParameters, options: { sendAt: later, waitSeconds: 30 } },
				answer: ({ method }) =>
					method === 'POST'
						? { status: 202, body: email }
						: { status: 200, body: { ...email, state: 'accepted' } },
			});
			const [{ json }] = await runNode(context, clock);
			return [json.state, context.requests.length];
		};
		assert.deepEqual(await sent(3600), ['queued', 1]);
		assert.deepEqual(await sent(10), ['accepted', 2]);
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

	it('finds an e-mail by its business key', async () => {
		const detail = { ...queued, recipients: [], timeline: [] };
		const context = makeContext({
			parameters: { ...parameters, getBy: 'businessKey', businessKey: ' invoice/1 ' },
			answer: ({ path }) => ({
				status: 200,
				body: path.endsWith('/emails') ? { items: [queued], next_cursor: null } : detail,
			}),
		});
		assert.deepEqual((await runNode(context))[0].json, detail);
		assert.deepEqual(
			context.requests.map(({ path, query }) => [path, query]),
			[
				['/api/v1/emails', { business_key: 'invoice/1' }],
				[`/api/v1/emails/${queued.id}`, undefined],
			],
		);
	});

	it('says that no e-mail has the key, and asks for none without one', async () => {
		const by = (businessKey, written) =>
			makeContext({
				parameters: { ...parameters, getBy: 'businessKey', businessKey },
				written: { businessKey: written },
				expressions: { '{{ $json.id }}': undefined },
				answer: () => ({ status: 200, body: { items: [], next_cursor: null } }),
			});
		const error = await failNode(by('order-1', 'order-1'));
		assert.equal(error.message, 'Nothing has the business key "order-1"');
		for (const [given, written, told] of [
			['', '', /"Business Key" is empty/],
			['undefined-shipped', '={{ $json.id }}-shipped', /gives nothing/],
		]) {
			const context = by(given, written);
			assert.match((await failNode(context)).message, told);
			assert.equal(context.requests.length, 0);
		}
	});
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

	it('asks by key and by when e-mails were made, in UTC', async () => {
		const filters = { businessKey: 7, createdAfter: '2026-07-01T00:00:00', createdBefore: NOON };
		const context = makeContext({
			parameters: { ...parameters, filters },
			written: { filters: { createdBefore: '={{ $now }}' } },
			answer: serve(0),
		});
		await runNode(context);
		assert.deepEqual(queries(context), [
			{
				limit: 50,
				business_key: '7',
				created_after: '2026-06-30T22:00:00.000Z',
				created_before: '2026-07-02T12:00:00.000Z',
			},
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

describe('business key', () => {
	const expression = '={{ $json.order }}-shipped';
	const make = (value, more = {}) =>
		makeContext({
			parameters: { ...sendParameters, businessKey: value },
			written: { businessKey: more.written ?? expression },
			answer: accepted,
			...more,
			...(more.written ? { written: { businessKey: more.written } } : {}),
		});

	for (const [what, part, message] of [
		['undefined', undefined, /gives nothing/],
		['null', null, /gives nothing/],
		['an empty text', '', /gives nothing/],
		['not a number', NaN, /gives nothing/],
		['false', false, /gives a boolean/],
		['an object', { a: 1 }, /gives an object/],
		['a list', ['x', 'y'], /gives a list/],
	]) {
		it(`is refused when a part of its expression gives ${what}`, async () => {
			const context = make(`${part}-shipped`, { expressions: { '{{ $json.order }}': part } });
			const error = await failNode(context);
			assert.match(error.message, message);
			assert.match(error.description, /\$json\.order/);
			assert.equal(context.requests.length, 0);
		});
	}

	it('is made of texts and numbers', async () => {
		for (const part of ['A-1', 42, 0]) {
			const context = make(`${part}-shipped`, { expressions: { '{{ $json.order }}': part } });
			await runNode(context);
			assert.equal(context.requests[0].body.business_key, `${part}-shipped`);
		}
	});

	for (const value of [false, true, { a: 1 }, ['x', 'y']]) {
		it(`is refused when it is ${JSON.stringify(value)}`, async () => {
			for (const written of ['={{ $json.order }}', 'typed']) {
				const context = make(value, { written });
				assert.match((await failNode(context)).message, /"Business Key"/);
				assert.equal(context.requests.length, 0);
			}
		});
	}

	for (const written of ['={{ $json.order + "-shipped" }}', '={{ `${$json.order}-shipped` }}']) {
		it(`is refused when JavaScript made a word of nothing: ${written}`, async () => {
			const context = make('undefined-shipped', { written });
			assert.match((await failNode(context)).message, /a value that is missing/);
		});
	}

	it('may contain such a word when it was not made of nothing', async () => {
		for (const written of ['null-island', '={{ $json.order }}']) {
			const context = make('null-island', { written });
			await runNode(context);
			assert.equal(context.requests[0].body.business_key, 'null-island');
		}
	});

	it('is refused when its whole expression gives nothing, except in nodes of version 1', async () => {
		for (const value of [undefined, null, '', '  ']) {
			const context = make(value, { written: '={{ $json.order }}', typeVersion: 1.1 });
			assert.match((await failNode(context)).message, /"Business Key" gives nothing/);
			const old = make(value, { written: '={{ $json.order }}' });
			await runNode(old);
			assert.equal('business_key' in old.requests[0].body, false);
		}
	});

	it('may be left empty', async () => {
		const context = make('', { written: 'x', typeVersion: 1.1 });
		await runNode(context);
		assert.equal('business_key' in context.requests[0].body, false);
	});
});

describe('many e-mails', () => {
	const people = ['a', 'b', 'c', 'd'];
	const items = people.map((name) => ({ json: { name } }));
	const parameters = (item) => ({ ...sendParameters, to: `${people[item]}@example.test` });
	const paths = ({ requests }) => requests.map(({ path }) => path);

	it('go together, in their order, each item with its own', async () => {
		const context = makeContext({ parameters, items, answer: accepted });
		const output = await runNode(context);
		assert.deepEqual(paths(context), ['/api/v1/emails/batch']);
		assert.deepEqual(
			output.map(({ json, pairedItem }) => [json.to[0], pairedItem.item]),
			people.map((name, item) => [`${name}@example.test`, item]),
		);
	});

	it('go a hundred at a time', async () => {
		const context = makeContext({
			parameters: sendParameters,
			items: Array.from({ length: 201 }, () => ({ json: {} })),
			answer: accepted,
		});
		assert.equal((await runNode(context)).length, 201);
		assert.deepEqual(
			context.requests.map(({ body }) => body.messages?.length),
			[100, 100, undefined],
		);
	});

	it('with attachments go alone, in their place', async () => {
		const context = makeContext({
			parameters: (item) => ({ ...parameters(item), attachments: item === 2 ? 'file' : '' }),
			items,
			binary: { file: { fileName: 'a.txt', mimeType: 'text/plain', content: 'a' } },
			answer: accepted,
		});
		await runNode(context);
		assert.deepEqual(paths(context), ['/api/v1/emails/batch', '/api/v1/emails', '/api/v1/emails']);
	});

	const refusing =
		(who) =>
		({ path, body }) => {
			const messages = body.messages ?? [body];
			if (messages.some(({ to }) => to[0].startsWith(who))) {
				return problem(422, 'email.invalid_address', 'Not an address');
			}
			return accepted({ path, body });
		};

	it('that are refused together are sent one by one, and the bad one is told', async () => {
		const context = makeContext({
			parameters,
			items,
			answer: refusing('c'),
			continueOnFail: true,
		});
		const output = await runNode(context);
		assert.deepEqual(
			output.map(({ json }) => json.error ?? 'sent'),
			['sent', 'sent', 'Not an address', 'sent'],
		);
		assert.equal(
			new Set(context.requests.map(({ headers }) => headers['idempotency-key'])).size,
			5,
		);
	});

	it('end with the first that is refused, and are not sent together when n8n tries again', async () => {
		const context = makeContext({
			parameters,
			items,
			answer: refusing('c'),
			executionId: 'refused',
		});
		const error = await failNode(context);
		assert.equal(error.context.itemIndex, 2);
		assert.equal(context.requests.length, 4);

		// The address has become good meanwhile: together, the first two would go out again.
		const again = makeContext({ parameters, items, answer: accepted, executionId: 'refused' });
		await runNode(again);
		assert.deepEqual(
			paths(again),
			people.map(() => '/api/v1/emails'),
		);
		const keys = ({ requests }) => requests.map(({ headers }) => headers['idempotency-key']);
		assert.deepEqual(keys(again).slice(0, 3), keys(context).slice(1));
	});

	it('are not sent one by one when nobody knows whether they were sent together', async () => {
		const context = makeContext({
			parameters,
			items,
			answer: () => problem(502, 'x', 'Bad gateway'),
			continueOnFail: true,
			executionId: 'in-doubt',
		});
		const output = await runNode(context);
		assert.deepEqual(new Set(paths(context)), new Set(['/api/v1/emails/batch']));
		assert.deepEqual(
			output.map(({ json }) => json.error),
			people.map(() => 'Bad gateway'),
		);
	});

	it('are not sent one by one while they may be being sent together', async () => {
		const context = makeContext({
			parameters,
			items,
			answer: () =>
				problem(409, 'gateway.idempotency_in_progress', 'The same request is being served', {
					headers: { 'retry-after': '1' },
				}),
			continueOnFail: true,
			executionId: 'in-progress',
		});
		await runNode(context);
		assert.deepEqual(new Set(paths(context)), new Set(['/api/v1/emails/batch']));
	});

	it('are all refused before any is sent, when one has a mistake', async () => {
		const context = makeContext({
			parameters: (item) => ({ ...parameters(item), text: item === 3 ? '' : 'Hi' }),
			items,
			answer: accepted,
		});
		const error = await failNode(context);
		assert.equal(error.context.itemIndex, 3);
		assert.equal(context.requests.length, 0);
	});

	it('of an agent go one by one, each known by its content', async () => {
		const context = makeContext({ parameters, items, answer: accepted, isTool: true });
		await runNode(context);
		assert.deepEqual(
			paths(context),
			people.map(() => '/api/v1/emails'),
		);
	});
});

describe('send batch', () => {
	const make = (messages) =>
		makeContext({
			parameters: { resource: 'email', operation: 'sendBatch', messages },
			answer: accepted,
		});

	it('sends a list together, and gives an item for each', async () => {
		const messages = [
			{ to: 'a@x.test; b@x.test', subject: 7, text: 'Hi', business_key: 42, cc: null },
			{ to: [{ email: 'c@x.test' }], template: 'welcome', variables: { n: 1 } },
			{
				to: 'd@x.test',
				template: 'welcome',
				reply_to: ['e@x.test', { email: 'f@x.test' }],
				send_at: '2026-07-01 08:00:00',
				from: 'Acme <a@x.test>',
			},
		];
		for (const given of [messages, JSON.stringify(messages)]) {
			const context = make(given);
			assert.equal((await runNode(context)).length, 3);
			const [{ path, body, headers }] = context.requests;
			assert.equal(path, '/api/v1/emails/batch');
			assert.deepEqual(body.messages, [
				{ to: ['a@x.test', 'b@x.test'], subject: '7', text: 'Hi', business_key: '42' },
				{ to: ['c@x.test'], template: 'welcome', variables: { n: 1 } },
				{
					to: ['d@x.test'],
					template: 'welcome',
					reply_to: ['e@x.test', 'f@x.test'],
					send_at: '2026-07-01T06:00:00.000Z',
					from: 'Acme <a@x.test>',
				},
			]);
			assert.match(headers['idempotency-key'], /^[0-9a-f]{64}$/);
		}
	});

	for (const [what, messages, told] of [
		['no list', { to: 'a@x.test' }, /is an object, not a list/],
		['an empty list', [], /is 0 e-mails/],
		['too many', Array.from({ length: 501 }, () => ({})), /is 501 e-mails/],
		['what is no e-mail', [{}, null], /"Messages 1" is nothing/],
		['a key that is none', [{ business_key: { a: 1 } }], /"Messages 0: business_key" is an object/],
		['a subject that is none', [{ subject: ['x'] }], /"Messages 0: subject" is a list/],
	]) {
		it(`refuses ${what} before any request`, async () => {
			const context = make(messages);
			assert.match((await failNode(context)).message, told);
			assert.equal(context.requests.length, 0);
		});
	}
});

describe('templates', () => {
	const asking = (answers, template) => {
		const asked = [];
		const context = {
			asked,
			getNodeParameter: () => 'apiKey',
			getCurrentNodeParameter: () => template,
			getCredentials: async () => ({ baseUrl: 'http://es.test/api/v1' }),
			helpers: {
				async httpRequestWithAuthentication(credential, { url, qs }) {
					asked.push([credential, url, qs]);
					return answers[asked.length - 1];
				},
			},
		};
		return context;
	};

	it('are offered by name, page by page', async () => {
		const item = (name) => ({ name, subject: `About ${name}` });
		const context = asking([
			{ items: [item('a')], next_cursor: 'c1' },
			{ items: [item('b')], next_cursor: null },
		]);
		assert.deepEqual(await getTemplates.call(context), [
			{ name: 'a', value: 'a', description: 'About a' },
			{ name: 'b', value: 'b', description: 'About b' },
		]);
		const url = 'http://es.test/api/v1/email-templates';
		assert.deepEqual(context.asked, [
			['emailSenderApi', url, { limit: 200 }],
			['emailSenderApi', url, { limit: 200, cursor: 'c1' }],
		]);
	});

	it('are beside relays, which tell who mail by them is from', async () => {
		const smtp = { host: 'mx.test' };
		const items = [
			{ name: 'bulk', from_address: null, smtp },
			{ name: 'news', from_address: 'news@x.test', smtp },
		];
		const context = asking([{ items, next_cursor: null }]);
		assert.deepEqual(await getRelays.call(context), [
			{ name: 'bulk', value: 'bulk', description: 'By mx.test' },
			{ name: 'news', value: 'news', description: 'news@x.test, by mx.test' },
		]);
		assert.equal(context.asked[0][1], 'http://es.test/api/v1/email-relays');
	});

	it('offer their variables', async () => {
		const context = asking([{ subject: 'Hi {{ name }}', text: '{{ order.id }}', html: null }], 'w');
		const offered = await getTemplateVariables.call(context);
		assert.deepEqual(
			offered.map(({ value }) => value),
			['name', 'order'],
		);
		assert.deepEqual(await getTemplateVariables.call(asking([], '={{ $json.t }}')), []);
	});

	for (const [template, expected] of [
		['{{ name|upper }} {{ name }}', ['name']],
		['{% for row in rows %}{{ row.id }}{{ loop.index }}{% endfor %}', ['rows']],
		['{% if a and not b is defined %}{{ c or "d e" }}{% endif %}', ['a', 'b', 'c']],
		['{% set x = y %}{{ x }}{# {{ z }} #}', ['y']],
		["{{ a|default('b') }}{{ c['d'] }}{{ 7 }}", ['a', 'c']],
		['{% for k, v in pairs %}{{ k }}{{ v }}{{ other }}{% endfor %}', ['pairs', 'other']],
		['plain', []],
	]) {
		it(`use the variables of ${template}`, () => assert.deepEqual(variablesIn(template), expected));
	}
});
