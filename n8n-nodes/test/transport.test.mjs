import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NodeApiError, NodeOperationError } from './support/n8n.mjs';
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

const keyOf = ({ headers }) => headers['idempotency-key'];

/** Answers with each of these in turn, then with success. */
function inTurn(...answers) {
	return (request) => answers.shift() ?? accepted(request);
}

async function keysOf(options, { parameters = sendParameters } = {}) {
	const context = makeContext({ parameters, answer: accepted, ...options });
	await runNode(context);
	return context.requests.map(keyOf);
}

describe('authentication', () => {
	it('uses the OAuth2 credential by default', async () => {
		const context = makeContext({ parameters: sendParameters, answer: accepted });
		await runNode(context);
		assert.equal(context.requests[0].credential, 'emailSenderOAuth2Api');
	});

	it('uses the API key credential when chosen', async () => {
		const context = makeContext({
			parameters: { ...sendParameters, authentication: 'apiKey' },
			answer: accepted,
		});
		await runNode(context);
		assert.equal(context.requests[0].credential, 'emailSenderApi');
	});

	it('lets a 401 be thrown, so that n8n can fetch a fresh token', async () => {
		const context = makeContext({ parameters: sendParameters, answer: accepted });
		await runNode(context);
		assert.deepEqual(context.requests[0].options.ignoreHttpStatusErrors, {
			ignore: true,
			except: [401],
		});
	});

	it('never follows a redirect with the token', async () => {
		const answer = () => ({ status: 302, headers: { location: 'http://elsewhere.test/' } });
		const context = makeContext({ parameters: sendParameters, answer });
		const error = await failNode(context);
		assert.equal(context.requests[0].options.disableFollowRedirect, true);
		assert.equal(context.requests[0].options.sendCredentialsOnCrossOriginRedirect, false);
		assert.match(error.description, /elsewhere\.test/);
	});
});

describe('base URL', () => {
	for (const baseUrl of [
		'https://example.test/api/v1',
		' https://example.test/api/v1/ ',
		'https://example.test/api',
	]) {
		it(`may be "${baseUrl}"`, async () => {
			const context = makeContext({ parameters: sendParameters, answer: accepted, baseUrl });
			await runNode(context);
			assert.equal(context.requests[0].options.url, 'https://example.test/api/v1/emails');
		});
	}

	it('is reached by trusting the authority of the credential', async () => {
		const caCertificate = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----';
		for (const pasted of [caCertificate, caCertificate.replaceAll('\n', ' ')]) {
			const context = makeContext({
				parameters: sendParameters,
				answer: accepted,
				credentials: { caCertificate: pasted },
			});
			await runNode(context);
			assert.equal(
				context.requests[0].options.agentOptions.ca.replaceAll(' ', ''),
				caCertificate.replaceAll(' ', ''),
			);
		}
	});

	it('may end with slashes and hold a path', async () => {
		const context = makeContext({
			parameters: sendParameters,
			answer: accepted,
			baseUrl: 'https://example.test/mail//',
		});
		await runNode(context);
		assert.equal(context.requests[0].options.url, 'https://example.test/mail/api/v1/emails');
	});

	for (const baseUrl of ['', 'example.test', 'ftp://example.test', 'http://', 'http://a?b=c']) {
		it(`refuses "${baseUrl}" before any request`, async () => {
			const context = makeContext({ parameters: sendParameters, answer: accepted, baseUrl });
			const error = await failNode(context);
			assert.ok(error instanceof NodeOperationError);
			assert.match(error.message, /Base URL/);
			assert.equal(context.requests.length, 0);
		});
	}
});

describe('waiting', () => {
	it('waits as long as Retry-After says in seconds', async () => {
		const clock = makeClock();
		const answer = inTurn(
			problem(429, 'rate_limited', 'Too many', { headers: { 'retry-after': '7' } }),
		);
		const output = await runNode(makeContext({ parameters: sendParameters, answer }), clock);
		assert.deepEqual(clock.sleeps, [7000]);
		assert.deepEqual(output[0].json, queued);
	});

	it('waits until the date in Retry-After', async () => {
		const clock = makeClock(Date.parse('2026-01-01T00:00:00Z'));
		const headers = { 'retry-after': 'Thu, 01 Jan 2026 00:00:09 GMT' };
		const answer = inTurn(problem(503, 'unavailable', 'Down', { headers }));
		await runNode(makeContext({ parameters: sendParameters, answer }), clock);
		assert.deepEqual(clock.sleeps, [9000]);
	});

	it('pauses as usual for a date that has passed', async () => {
		const clock = makeClock(Date.parse('2026-01-01T00:00:00Z'));
		const headers = { 'retry-after': 'Wed, 31 Dec 2025 23:00:00 GMT' };
		const answer = inTurn(problem(503, 'unavailable', 'Down', { headers }));
		await runNode(makeContext({ parameters: sendParameters, answer }), clock);
		assert.deepEqual(clock.sleeps, [500]);
	});

	for (const [value, expected] of [
		['1.5', 1500],
		['0', 500],
		['0.0', 500],
		[2, 2000],
		['soon', 500],
	]) {
		it(`reads the Retry-After ${JSON.stringify(value)}`, async () => {
			for (const status of [429, 503, 409]) {
				const clock = makeClock();
				const busy = problem(status, 'busy', 'Busy', { headers: { 'retry-after': value } });
				const context = makeContext({ parameters: sendParameters, answer: inTurn(busy) });
				await runNode(context, clock);
				assert.deepEqual(clock.sleeps, [expected]);
			}
		});
	}

	it('reads the RateLimit header when there is no Retry-After', async () => {
		const clock = makeClock();
		const headers = { ratelimit: '"route";r=3;t=40, "client";r=0;t=4, "tenant";r=0;t=6' };
		const answer = inTurn(problem(429, 'rate_limited', 'Too many', { headers }));
		await runNode(makeContext({ parameters: sendParameters, answer }), clock);
		assert.deepEqual(clock.sleeps, [6000]);
	});

	it('backs off by itself when no header says how long', async () => {
		const clock = makeClock();
		const busy = () => problem(503, 'unavailable', 'Down');
		const answer = inTurn(busy(), busy(), busy());
		await runNode(makeContext({ parameters: sendParameters, answer }), clock);
		assert.deepEqual(clock.sleeps, [500, 1000, 2000]);
	});

	it('waits for a conflict that names a time, and only for that one', async () => {
		const clock = makeClock();
		const busy = problem(409, 'conflict', 'In flight', { headers: { 'retry-after': '1' } });
		await runNode(makeContext({ parameters: sendParameters, answer: inTurn(busy) }), clock);
		assert.deepEqual(clock.sleeps, [1000]);

		const context = makeContext({
			parameters: sendParameters,
			answer: inTurn(problem(409, 'conflict', 'Taken')),
		});
		await failNode(context);
		assert.equal(context.requests.length, 1);
	});

	it('gives up after six attempts', async () => {
		const clock = makeClock();
		const answer = () =>
			problem(429, 'rate_limited', 'Too many', { headers: { 'retry-after': '1' } });
		const context = makeContext({ parameters: sendParameters, answer });
		const error = await failNode(context, clock);
		assert.equal(context.requests.length, 6);
		assert.equal(clock.sleeps.length, 5);
		assert.match(error.description, /Gave up after 6 attempts/);
	});

	it('never waits more than a minute in all', async () => {
		const clock = makeClock();
		const answer = () =>
			problem(429, 'rate_limited', 'Too many', { headers: { 'retry-after': '25' } });
		const context = makeContext({ parameters: sendParameters, answer });
		await failNode(context, clock);
		assert.deepEqual(clock.sleeps, [25_000, 25_000]);
	});

	it('fails at once when asked to wait longer than it ever would', async () => {
		const clock = makeClock();
		const answer = () =>
			problem(429, 'rate_limited', 'Too many', { headers: { 'retry-after': '3600' } });
		const error = await failNode(makeContext({ parameters: sendParameters, answer }), clock);
		assert.deepEqual(clock.sleeps, []);
		assert.match(error.description, /Asked to wait 3600 s/);
	});

	for (const status of [500, 502, 504]) {
		it(`repeats after ${status} under the same key`, async () => {
			const clock = makeClock();
			const answer = inTurn(problem(status, 'x', 'No'), { status, headers: {}, body: '<html>' });
			const context = makeContext({ parameters: sendParameters, answer });
			assert.deepEqual((await runNode(context, clock))[0].json, queued);
			assert.equal(new Set(context.requests.map(keyOf)).size, 1);
			assert.deepEqual(clock.sleeps, [500, 1000]);
		});
	}

	const broken = (code) => () => {
		throw Object.assign(new Error(`connect ${code}`), { code });
	};
	for (const code of [
		'ECONNRESET',
		'ECONNREFUSED',
		'ETIMEDOUT',
		'EPIPE',
		'EAI_AGAIN',
		'ECONNABORTED',
	]) {
		it(`repeats after ${code} under the same key, as it comes and as n8n wraps it`, async () => {
			const answer = (request, nth) => {
				if (nth === 1) broken(code)();
				if (nth === 2) {
					const wrapped = Object.assign(new Error(`connect ${code}`), { code });
					throw new NodeApiError({ name: 'n', type: 't', parameters: {} }, wrapped);
				}
				return accepted(request);
			};
			const context = makeContext({ parameters: sendParameters, answer });
			assert.deepEqual((await runNode(context))[0].json, queued);
			assert.equal(context.requests.length, 3);
			assert.equal(new Set(context.requests.map(keyOf)).size, 1);
		});
	}

	for (const code of ['ENOTFOUND', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERT_ALTNAME_INVALID']) {
		it(`does not repeat after ${code}`, async () => {
			const context = makeContext({ parameters: sendParameters, answer: broken(code) });
			await failNode(context);
			assert.equal(context.requests.length, 1);
		});
	}

	it('does not repeat what could act twice', async () => {
		const call = { resource: 'customApiCall', operation: 'call', path: 'x', body: '{}' };
		for (const parameters of [
			{ ...call, method: 'PATCH' },
			{ ...call, method: 'PUT', options: { ifMatch: '"v1"' } },
		]) {
			for (const answer of [() => problem(502, 'x', 'No'), broken('ECONNRESET')]) {
				const context = makeContext({ parameters, answer });
				await failNode(context);
				assert.equal(context.requests.length, 1);
			}
		}
	});

	it('takes what is gone after a lost answer for deleted', async () => {
		const parameters = { resource: 'suppression', operation: 'remove', suppressionId: 's-1' };
		const answer = (_, nth) => (nth === 1 ? problem(504, 'x', 'Lost') : problem(404, 'y', 'Gone'));
		const context = makeContext({ parameters, answer });
		assert.deepEqual((await runNode(context))[0].json, { deleted: true });
		const gone = makeContext({ parameters, answer: () => problem(404, 'y', 'Gone') });
		assert.equal((await failNode(gone)).message, 'Gone');
	});

	it('repeats what hangs until its time is over, but not for ever', async () => {
		const clock = makeClock();
		const answer = async () => {
			await clock.sleep(60_000);
			broken('ETIMEDOUT')();
		};
		const context = makeContext({ parameters: sendParameters, answer });
		await failNode(context, clock);
		assert.equal(context.requests.length, 3);
	});

	for (const status of [400, 403, 404, 422]) {
		it(`does not repeat after ${status}`, async () => {
			const context = makeContext({
				parameters: sendParameters,
				answer: () => problem(status, 'x', 'No', { headers: { 'retry-after': '1' } }),
			});
			await failNode(context);
			assert.equal(context.requests.length, 1);
		});
	}

	it('repeats with untouched options, whatever n8n wrote into the last ones', async () => {
		const seen = [];
		const context = makeContext({
			parameters: sendParameters,
			answer: ({ options }, nth) => {
				seen.push({ ...options.headers });
				options.headers.Authorization = 'Bearer stale';
				return nth === 1 ? problem(503, 'unavailable', 'Down') : { status: 202, body: queued };
			},
		});
		await runNode(context);
		assert.deepEqual(seen[1], seen[0]);
	});
});

describe('idempotency key', () => {
	it('is the same when a call is repeated after a wait', async () => {
		const context = makeContext({
			parameters: sendParameters,
			answer: inTurn(problem(503, 'unavailable', 'Down'), problem(429, 'rate_limited', 'Slow')),
		});
		await runNode(context);
		const keys = context.requests.map(keyOf);
		assert.equal(keys.length, 3);
		assert.equal(new Set(keys).size, 1);
		assert.match(keys[0], /^[0-9a-f]{64}$/);
	});

	it('is the same when n8n runs the node again in the same place', async () => {
		assert.deepEqual(await keysOf({}), await keysOf({}));
	});

	it('differs between the items of one run', async () => {
		const parameters = { resource: 'job', operation: 'cancel', jobId: 'j-1' };
		const keys = await keysOf(
			{ items: [{ json: {} }, { json: {} }, { json: {} }] },
			{ parameters },
		);
		assert.equal(new Set(keys).size, 3);
	});

	for (const [what, options] of [
		['the turns of a loop', { runIndex: 1 }],
		['two executions', { executionId: '18' }],
		['two nodes', { nodeId: 'node-2' }],
		['two workflows', { workflowId: 'workflow-2' }],
		['two n8n instances that count alike', { instanceId: 'instance-2' }],
	]) {
		it(`differs between ${what}`, async () => {
			assert.notDeepEqual(await keysOf(options), await keysOf({}));
		});
	}

	it('differs between operations on one item', async () => {
		const id = { jobId: 'j-1' };
		const cancel = await keysOf(
			{},
			{ parameters: { resource: 'job', operation: 'cancel', ...id } },
		);
		const retry = await keysOf({}, { parameters: { resource: 'job', operation: 'retry', ...id } });
		assert.notDeepEqual(cancel, retry);
	});

	it('differs between runs that have no execution id, and holds within one', async () => {
		const context = makeContext({
			parameters: sendParameters,
			answer: inTurn(problem(503, 'unavailable', 'Down')),
			executionId: undefined,
		});
		context.getExecutionId = () => undefined;
		await runNode(context);
		const [first, repeated] = context.requests.map(keyOf);
		assert.equal(first, repeated);

		const other = makeContext({ parameters: sendParameters, answer: accepted });
		other.getExecutionId = () => undefined;
		await runNode(other);
		assert.notEqual(keyOf(other.requests[0]), first);
	});

	for (const [which, tool] of [
		['says so', { isTool: true }],
		[
			'says nothing, as in agents of version 3',
			{ nodeType: 'n8n-nodes-email-sender.emailSenderTool' },
		],
	])
		it(`follows the content, not the run index, of a tool whose context ${which}`, async () => {
			const other = { parameters: { ...sendParameters, text: 'Something else' } };
			assert.deepEqual(
				await keysOf({ ...tool, runIndex: 0 }),
				await keysOf({ ...tool, runIndex: 1 }),
			);
			assert.notDeepEqual(await keysOf(tool), await keysOf(tool, other));
		});

	const reused = () => problem(422, 'gateway.idempotency_key_reused', 'The key belongs to another');

	it('gets the first act again when n8n tries again with another content', async () => {
		const first = makeContext({
			parameters: { ...sendParameters, text: 'at 10:00:00' },
			answer: () => problem(504, 'x', 'Lost'),
			executionId: 'again',
		});
		await failNode(first);
		const second = makeContext({
			parameters: { ...sendParameters, text: 'at 10:00:01' },
			answer: ({ body }) =>
				body.text === 'at 10:00:00' ? { status: 202, body: queued } : reused(),
			executionId: 'again',
		});
		const [{ json }] = await runNode(second);
		assert.deepEqual(json, { ...queued, deduplicated: true });
		assert.match(second.hints[0].message, /earlier try/);
		assert.equal(new Set([...first.requests, ...second.requests].map(keyOf)).size, 1);
	});

	it('sends the new content when the first was refused', async () => {
		const make = (text, answer) =>
			makeContext({ parameters: { ...sendParameters, text }, answer, executionId: 'corrected' });
		await failNode(make('bad', () => problem(422, 'invalid_input', 'No')));
		const second = make('good', accepted);
		await runNode(second);
		assert.equal(second.requests[0].body.text, 'good');
	});

	it('says that the act was done when its first content is not known here', async () => {
		const context = makeContext({ parameters: sendParameters, answer: reused, executionId: 'x' });
		const error = await failNode(context);
		assert.match(error.description, /An earlier try of this node did it already/);
		assert.equal(context.requests.length, 1);
	});

	it('is not sent with requests that only read', async () => {
		const keys = await keysOf(
			{},
			{ parameters: { resource: 'job', operation: 'get', jobId: 'j-1' } },
		);
		assert.deepEqual(keys, [undefined]);
	});
});

describe('names of the run', () => {
	const namesOf = async (options) => {
		const context = makeContext({ parameters: sendParameters, answer: accepted, ...options });
		if (options.change) options.change(context);
		await runNode(context);
		const [{ headers }] = context.requests;
		return [headers['x-workflow-id'], headers['x-execution-id']];
	};

	it('go with every request, also with one that only reads', async () => {
		const parameters = { resource: 'job', operation: 'get', jobId: 'j-1' };
		for (const more of [{}, { parameters }]) {
			const context = makeContext({ executionId: '4711' });
			const workflow = context.getWorkflow().id;
			assert.deepEqual(await namesOf({ ...more, executionId: '4711' }), [workflow, '4711']);
		}
	});

	it('are left out where n8n knows none, or none that is an id', async () => {
		const change = (context) => {
			context.getWorkflow = () => ({});
			context.getExecutionId = () => 'a\r\nX-Evil: 1';
		};
		assert.deepEqual(await namesOf({ change }), [undefined, undefined]);
	});
});

describe('trace context', () => {
	const received = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
	const traceOf = async (options) => {
		const context = makeContext({ parameters: sendParameters, answer: accepted, ...options });
		await runNode(context);
		return context.requests.map(({ headers }) => headers.traceparent);
	};

	it('is passed on from the headers of a webhook item', async () => {
		const json = { headers: { traceparent: received, tracestate: 'vendor=1' } };
		const context = makeContext({
			parameters: sendParameters,
			answer: accepted,
			items: [{ json }],
		});
		await runNode(context);
		assert.equal(context.requests[0].headers.traceparent, received);
		assert.equal(context.requests[0].headers.tracestate, 'vendor=1');
	});

	it('is passed on from a field of the item', async () => {
		assert.deepEqual(await traceOf({ items: [{ json: { traceparent: received } }] }), [received]);
	});

	it('is passed on from the webhook that started the execution', async () => {
		const traces = await traceOf({
			parents: [
				{ name: 'Edit Fields', type: 'n8n-nodes-base.set' },
				{ name: 'Hook', type: 'n8n-nodes-base.webhook' },
			],
			outputs: { Hook: [{ json: { headers: { traceparent: received } } }] },
		});
		assert.deepEqual(traces, [received]);
	});

	it('ignores a trigger that did not start this execution', async () => {
		const [trace] = await traceOf({ parents: [{ name: 'Hook', type: 'n8n-nodes-base.webhook' }] });
		assert.match(trace, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
	});

	it('is made up once per execution otherwise', async () => {
		const items = [{ json: {} }, { json: {} }];
		const parameters = { resource: 'job', operation: 'cancel', jobId: 'j-1' };
		const [first, second] = await traceOf({ parameters, items });
		const [elsewhere] = await traceOf({ parameters, items, nodeId: 'node-2' });
		const [later] = await traceOf({ parameters, items, executionId: '18' });
		const [trace, span] = [1, 2].map((part) => (text) => text.split('-')[part]);
		assert.match(first, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
		assert.equal(trace(first), trace(second));
		assert.equal(trace(first), trace(elsewhere));
		assert.notEqual(span(first), span(second));
		assert.notEqual(trace(first), trace(later));
	});

	for (const bad of [
		'00-00000000000000000000000000000000-b7ad6b7169203331-01',
		'00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
		'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
		'00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01',
		`${received}\r\nX-Evil: 1`,
		42,
	]) {
		it(`does not pass on ${JSON.stringify(bad)}`, async () => {
			const [trace] = await traceOf({ items: [{ json: { traceparent: bad } }] });
			assert.notEqual(trace, bad);
			assert.match(trace, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
		});
	}

	it("is n8n's own span where n8n has one, before all others", async () => {
		const span = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
		const items = [{ json: { traceparent: received } }, { json: {} }];
		const parameters = () => ({ resource: 'email', operation: 'get', emailId: 'e-1' });
		assert.deepEqual(await traceOf({ span, items, parameters }), [span, span]);
		assert.deepEqual(await traceOf({ span: 'nonsense', items: items.slice(0, 1) }), [received]);
	});

	it('drops a tracestate that could not be a header', async () => {
		const json = { traceparent: received, tracestate: 'a=1\r\nX-Evil: 1' };
		const context = makeContext({
			parameters: sendParameters,
			answer: accepted,
			items: [{ json }],
		});
		await runNode(context);
		assert.equal(context.requests[0].headers.tracestate, undefined);
	});
});

describe('failure', () => {
	it('shows title, detail, fields, code and request id of the problem', async () => {
		const answer = () =>
			problem(422, 'invalid_input', 'The request is invalid', {
				body: {
					detail: 'One field is wrong',
					errors: [{ pointer: '/to/0', detail: 'not an address' }],
				},
			});
		const error = await failNode(makeContext({ parameters: sendParameters, answer }));
		assert.ok(error instanceof NodeApiError);
		assert.equal(error.message, 'The request is invalid');
		assert.equal(
			error.description,
			'One field is wrong\n/to/0: not an address\nCode: invalid_input · Status: 422 · Request: req-1',
		);
		assert.equal(error.httpCode, '422');
		assert.equal(error.context.itemIndex, 0);
		assert.equal(error.context.data.code, 'invalid_input');
	});

	it('shows the problem of a 401, which n8n throws', async () => {
		const answer = () => problem(401, 'unauthenticated', 'The API key is unknown');
		const error = await failNode(makeContext({ parameters: sendParameters, answer }));
		assert.equal(error.message, 'The API key is unknown');
		assert.equal(error.httpCode, '401');
		assert.match(error.description, /Code: unauthenticated/);
		assert.match(error.description, /Request: req-1/);
	});

	it('takes the request id from the header when the body has none', async () => {
		const answer = () => ({
			status: 502,
			headers: { 'x-request-id': 'req-9' },
			body: '<h1>Bad gateway</h1>',
		});
		const error = await failNode(makeContext({ parameters: sendParameters, answer }));
		assert.equal(error.message, 'Email Sender answered with status 502');
		assert.match(error.description, /Bad gateway/);
		assert.match(error.description, /Request: req-9/);
	});

	it('says the next step for a 401, and for what TLS and names say', async () => {
		const describe = async (answer) =>
			(await failNode(makeContext({ parameters: sendParameters, answer }))).description;
		const unauthorized = await describe(() => problem(401, 'unauthenticated', 'Unauthorized'));
		assert.match(unauthorized, /Make a new key under API keys/);
		for (const [code, step] of [
			['DEPTH_ZERO_SELF_SIGNED_CERT', /"CA Certificate"/],
			['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /"CA Certificate"/],
			['CERT_HAS_EXPIRED', /expired/],
			['ERR_TLS_CERT_ALTNAME_INVALID', /another name/],
			['EPROTO', /http:\/\//],
			['ECONNREFUSED', /In a container/],
			['ENOTFOUND', /No machine has that name/],
		]) {
			const told = await describe(() => {
				throw Object.assign(new Error(`request failed, ${code}`), { code });
			});
			assert.match(told, step, code);
		}
	});

	it('speaks as people do, not as a validation library', async () => {
		const said = [
			['Input should be a valid string', 'must be a text'],
			['Value error, give at least one recipient', 'give at least one recipient'],
			['String should have at most 998 characters', 'may have 998 characters at most'],
			['Field required', 'is missing'],
			['Extra inputs are not permitted', 'is not known here'],
			['Input should be less than or equal to 200', 'must be less than or equal to 200'],
		];
		const errors = said.map(([detail]) => ({ pointer: '/body/x', detail }));
		const answer = () => problem(422, 'invalid_input', 'No', { body: { errors } });
		const error = await failNode(makeContext({ parameters: sendParameters, answer }));
		for (const [, meant] of said) assert.ok(error.description.includes(`/body/x: ${meant}`), meant);
		assert.doesNotMatch(error.description, /[Ii]nput should|Value error|should have/);
	});

	it('names the address when nobody answers', async () => {
		const answer = () => {
			throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:8400'), {
				code: 'ECONNREFUSED',
			});
		};
		const error = await failNode(makeContext({ parameters: sendParameters, answer }));
		assert.ok(error instanceof NodeApiError);
		assert.match(error.message, /refused the connection/);
		assert.match(error.description, /http:\/\/127\.0\.0\.1:8400/);
	});

	it('says so when the answer is not the API speaking', async () => {
		const answer = () => ({ status: 200, body: '<!doctype html>' });
		const error = await failNode(makeContext({ parameters: sendParameters, answer }));
		assert.match(error.message, /not a JSON object/);
		assert.match(error.description, /Base URL/);
	});

	it('names the item that failed', async () => {
		const answer = (request) =>
			request.body.messages || request.body.to[0] === 'no'
				? problem(404, 'not_found', 'No')
				: accepted(request);
		const items = [{ json: {} }, { json: {} }];
		const parameters = (item) => ({ ...sendParameters, to: item ? 'no' : 'ada@example.test' });
		const error = await failNode(makeContext({ parameters, answer, items }));
		assert.equal(error.context.itemIndex, 1);
	});
});
