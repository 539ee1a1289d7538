import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { beforeEach, describe, it } from 'node:test';
import { EmailSenderTrigger } from '../dist/nodes/EmailSenderTrigger/EmailSenderTrigger.node.js';
import { EVENTS } from '../dist/nodes/EmailSenderTrigger/events.js';
import { sampleOf } from '../dist/nodes/EmailSenderTrigger/sample.js';
import { seal, unseal } from '../dist/nodes/EmailSenderTrigger/signature.js';
import { problem } from './support/context.mjs';

// What it offers to imports does not load in Node.
const { Workflow } = createRequire(import.meta.url)('n8n-workflow');
const trigger = new EmailSenderTrigger();
const { checkExists, create, delete: remove } = trigger.webhookMethods.default;
const ROOT = '/api/v1/webhooks';

/** Webhooks as the API keeps them. */
class Endpoints {
	rows = new Map();
	requests = [];
	down = undefined;
	made = 0;

	answer({ method, url, body }) {
		const { pathname } = new URL(url);
		const asked = body && JSON.parse(body);
		this.requests.push([method, pathname.slice(ROOT.length), asked]);
		if (this.down) return this.down();
		const [id, verb] = pathname.slice(ROOT.length + 1).split('/');
		const row = this.rows.get(id);
		if (!id) return method === 'POST' ? this.post(asked) : { items: [...this.rows.values()] };
		if (!row) return problem(404, 'webhooks.not_found', 'There is no such webhook');
		if (method === 'DELETE') this.rows.delete(id);
		if (method === 'PUT') Object.assign(row, asked);
		if (verb === 'replay') row.seq = asked.after_seq;
		if (verb === 'rotate') this.rotate(row);
		return verb === 'rotate' ? row : withoutSecret(row);
	}

	post(asked) {
		if ([...this.rows.values()].some(({ name }) => name === asked.name)) {
			return problem(409, 'webhooks.exists', 'There is a webhook of this name');
		}
		this.made += 1;
		const row = { id: `w${this.made}`, key_version: 0, seq: asked.since_seq ?? 900, ...asked };
		this.rows.set(row.id, this.rotate({ enabled: true, stopped_why: null, ...row }));
		return row.id && this.rows.get(row.id);
	}

	rotate(row) {
		const secret = `whsec_${randomBytes(32).toString('base64')}`;
		return Object.assign(row, { secret, key_version: row.key_version + 1 });
	}

	get only() {
		assert.equal(this.rows.size, 1);
		return [...this.rows.values()][0];
	}

	/** What was asked since the last look, without bodies. */
	get asked() {
		return this.requests.splice(0).map(([method, path]) => `${method} ${path}`);
	}
}

const withoutSecret = (row) => ({ ...row, secret: undefined });

/** What n8n hands to the node: around an execution, and for a request. */
function contextOf(api, kept, more = {}) {
	const {
		parameters = {},
		credentials = {},
		mode = 'trigger',
		activation = 'activate',
		url = 'https://n8n.test/webhook/1/events',
		request = {},
		workflow,
	} = more;
	const values = { authentication: 'apiKey', events: ['alert.fired'], options: {}, ...parameters };
	const warnings = [];
	const answers = [];
	const context = {
		warnings,
		answers,
		workflow,
		logger: { warn: (said) => warnings.push(said) },
		helpers: {
			async httpRequestWithAuthentication(credential, options) {
				assert.equal(this, context);
				assert.equal(credential, 'emailSenderApi');
				const told = await api.answer(options);
				return told?.status
					? { statusCode: told.status, headers: told.headers, body: told.body }
					: { statusCode: 200, headers: {}, body: told };
			},
		},
		getActivationMode: () => activation,
		getCredentials: async () => ({ baseUrl: 'http://es.test', apiKey: 'es_1', ...credentials }), // pragma: allowlist secret
		getHeaderData: () => request.headers ?? {},
		getInstanceId: () => 'instance-1',
		getMode: () => mode,
		getNode: () => ({ id: 'node-1', name: 'Trigger', type: 'emailSenderTrigger' }),
		getNodeParameter: (name, otherwise) => values[name] ?? otherwise,
		getNodeWebhookUrl: () => url,
		getRequestObject: () => ({ rawBody: request.body }),
		getResponseObject: () => ({
			status: (code) => ({ json: (body) => answers.push([code, body]) }),
		}),
		getWorkflow: () => ({ id: 'workflow-1', name: 'Page somebody' }),
		getWorkflowStaticData: (kind) => {
			assert.equal(kind, 'node');
			return workflow ? workflow.getStaticData(kind, { name: 'Trigger' }) : kept;
		},
	};
	return context;
}

let api;
let kept;
beforeEach(() => {
	api = new Endpoints();
	kept = {};
});

const hook = (method, more) => method.call(contextOf(api, kept, more));
const stored = () => JSON.parse(JSON.stringify(kept));

describe('webhook of the trigger', () => {
	it('is made for the address and the events that are chosen, by a name of its own', async () => {
		const parameters = {
			events: ['alert.resolved', 'alert.fired'],
			options: { otherEvents: 'member.added, alert.fired', subject: 'alert:' },
		};
		assert.equal(await hook(checkExists, { parameters }), false);
		assert.equal(await hook(create, { parameters }), true);
		const { name, url, kinds, subject } = api.only;
		assert.match(name, /^n8n Page somebody [0-9a-f]{12} live$/);
		assert.equal(url, 'https://n8n.test/webhook/1/events');
		assert.deepEqual(kinds, ['alert.fired', 'alert.resolved', 'member.added']);
		assert.equal(subject, 'alert:');
		assert.equal(await hook(checkExists, { parameters }), true);
		assert.equal(api.made, 1);
	});

	it('keeps its secret in a form that the credential alone opens', async () => {
		await hook(create);
		const { secret, id } = api.only;
		assert.ok(!JSON.stringify(kept).includes(secret.slice(6)));
		assert.equal(unseal(kept.secret, { apiKey: 'es_1' }, id), secret); // pragma: allowlist secret
		assert.equal(unseal(kept.secret, { apiKey: 'es_2' }, id), undefined); // pragma: allowlist secret
		assert.equal(unseal(kept.secret, { apiKey: 'es_1' }, 'w2'), undefined); // pragma: allowlist secret
		assert.equal(unseal('AAAA', { apiKey: 'es_1' }, id), undefined); // pragma: allowlist secret
		const [one, other] = [1, 2].map(() => seal(secret, { clientSecret: 's' }, id));
		assert.notEqual(one, other);
	});

	it('is removed when the workflow stops, also when somebody removed it before', async () => {
		await hook(create);
		assert.equal(await hook(remove), true);
		assert.equal(api.rows.size, 0);
		assert.equal(kept.webhookId ?? kept.secret, undefined);
		assert.equal(await hook(remove), true);

		await hook(create);
		api.rows.clear();
		assert.equal(await hook(remove), true);
		await hook(create);
		api.rows.clear();
		assert.equal(await hook(checkExists), false);
		assert.equal(kept.webhookId, undefined);
	});

	it('goes on where it was when the workflow is published anew, and not after a while', async () => {
		await hook(create);
		api.only.seq = 40;
		await hook(remove);
		await hook(create);
		assert.equal(api.only.seq, 40);
		await hook(remove);
		kept.leftAt -= 60_000;
		await hook(create);
		assert.equal(api.only.seq, 900);
	});

	it('follows another address and another choice without losing its place', async () => {
		await hook(create);
		api.only.seq = 40;
		const url = 'https://moved.test/webhook/1/events';
		const parameters = { events: ['job.dead'] };
		assert.equal(await hook(checkExists, { url, parameters }), true);
		assert.deepEqual([api.only.url, api.only.kinds, api.only.seq], [url, ['job.dead'], 40]);
		assert.equal(api.asked.filter((one) => one.startsWith('PUT')).length, 1);
		assert.equal(await hook(checkExists, { url, parameters }), true);
		assert.deepEqual(api.asked, ['GET /w1']);
	});

	it('is started again when it was stopped, but not by a restart when a person did it', async () => {
		await hook(create);
		for (const [why, activation, isOn] of [
			['It answered 410 Gone', 'init', true],
			[null, 'init', false],
			[null, 'leadershipChange', false],
			[null, 'activate', true],
		]) {
			Object.assign(api.only, { enabled: false, stopped_why: why });
			assert.equal(await hook(checkExists, { activation }), true);
			assert.equal(api.only.enabled, isOn, `${why} ${activation}`);
		}
	});

	it('takes the place of a leftover of the same node, and of nothing else', async () => {
		await hook(create);
		const own = api.only.name;
		api.post({ name: 'Orders', kinds: [] });
		kept = {};
		await hook(create);
		assert.deepEqual([...api.rows.values()].map(({ name }) => name).sort(), [own, 'Orders'].sort());
		assert.ok(!api.rows.has('w1'));
	});

	it('counts as there while the API is not, so that n8n does not give it up', async () => {
		await hook(create);
		const broken = () => {
			throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
		};
		for (const down of [() => problem(503, 'unavailable', 'Not now'), broken]) {
			api.down = down;
			const context = contextOf(api, kept);
			assert.equal(await checkExists.call(context), true);
			assert.equal(context.warnings.length, 1);
		}
		api.down = () => problem(403, 'forbidden', 'You may not');
		await assert.rejects(hook(checkExists), /You may not/);
	});

	it('says why it could not be made', async () => {
		const body = { detail: 'It is an https address without credentials' };
		api.down = () => problem(422, 'webhooks.invalid', 'The webhook is not valid', { body });
		await assert.rejects(hook(create), (error) => {
			assert.equal(error.message, 'The webhook is not valid');
			assert.match(error.description, /https address[^]*Code: webhooks.invalid/);
			return true;
		});
		assert.deepEqual(kept, {});
	});

	it('of a test looks back for an event, unless the next one is wanted', async () => {
		await hook(create, { mode: 'manual' });
		assert.match(api.only.name, / test$/);
		assert.equal(api.only.seq, 400);
		await hook(remove, { mode: 'manual' });
		const parameters = { options: { testWith: 'next' } };
		await hook(create, { mode: 'manual', parameters });
		assert.equal(api.only.seq, 900);
	});
});

describe('event', () => {
	const now = () => Math.floor(Date.now() / 1000);
	let nth = 0;
	const fired = (more = {}) => ({ ...sampleOf('alert.fired'), id: `e-${(nth += 1)}`, ...more });

	/** A request as the API makes it. */
	function requestOf(event, more = {}) {
		const body = Buffer.from(JSON.stringify(event));
		const { at = now(), id = event.id, secrets = [api.only.secret], version } = more;
		const sign = (secret) =>
			createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
				.update(`${id}.${at}.`)
				.update(body)
				.digest('base64');
		return {
			body,
			headers: {
				'webhook-id': id,
				'webhook-timestamp': String(at),
				'webhook-signature': secrets.map((one) => `v1,${sign(one)}`).join(' '),
				'webhook-key-id': String(version ?? api.only.key_version),
			},
		};
	}

	/** What came of it: the items of the execution, `none`, or a status. */
	async function tell(request, more = {}) {
		const context = contextOf(api, kept, { ...more, request });
		const { workflowData, noWebhookResponse } = await trigger.webhook.call(context);
		if (noWebhookResponse) return context.answers[0][0];
		return workflowData ? workflowData[0].map(({ json }) => json) : 'none';
	}

	beforeEach(async () => {
		await hook(create);
		api.requests.length = 0;
	});

	it('starts the workflow with all that was told, and the ID of what it is about', async () => {
		const event = fired();
		const [item] = await tell(requestOf(event));
		assert.deepEqual(item, { ...event, subject_id: event.subject.split(':')[1] });
		assert.deepEqual(api.requests, []);
	});

	it('is refused unless it is signed, whatever is wrong with it', async () => {
		const event = fired();
		const other = `whsec_${randomBytes(32).toString('base64')}`;
		const good = requestOf(event);
		const without = (name) => ({ ...good, headers: { ...good.headers, [name]: undefined } });
		const withOther = (name, value) => ({ ...good, headers: { ...good.headers, [name]: value } });
		const before = stored();
		for (const request of [
			{},
			{ body: good.body },
			without('webhook-id'),
			without('webhook-timestamp'),
			without('webhook-signature'),
			requestOf(event, { secrets: [other] }),
			requestOf(event, { at: now() - 900 }),
			requestOf(event, { at: now() + 900 }),
			withOther('webhook-timestamp', 'NaN'),
			withOther('webhook-timestamp', String(now() + 1)),
			withOther('webhook-id', 'e-other'),
			withOther('webhook-signature', 'v1,'),
			withOther('webhook-signature', good.headers['webhook-signature'].replace('v1,', 'v1a,')),
			{ ...good, body: Buffer.from(JSON.stringify({ ...event, kind: 'alert.resolved' })) },
			{ ...good, body: JSON.parse(good.body.toString()) },
		]) {
			assert.equal(await tell(request), 401);
		}
		delete kept.healedAt;
		assert.deepEqual(stored(), before);
		assert.equal((await tell(good)).length, 1);
	});

	it('is refused when nothing is known of a secret', async () => {
		const request = requestOf(fired(), { secrets: ['whsec_'] });
		kept = {};
		assert.equal(await tell(request), 401);
	});

	it('asks the API about what does not fit once a minute at most, and changes nothing', async () => {
		const other = `whsec_${randomBytes(32).toString('base64')}`;
		const forged = () => requestOf(fired(), { secrets: [other], version: 9 });
		for (let i = 0; i < 5; i += 1) assert.equal(await tell(forged()), 401);
		assert.deepEqual(api.asked, ['GET /w1']);
		kept.healedAt -= 60_000;
		await tell(forged());
		assert.deepEqual(api.asked, ['GET /w1']);
	});

	it('starts the workflow once, however often it comes', async () => {
		const event = fired();
		assert.equal((await tell(requestOf(event))).length, 1);
		assert.equal(await tell(requestOf(event)), 'none');
		assert.equal((await tell(requestOf(fired()))).length, 1);
		const parameters = { options: { repeated: true } };
		assert.equal((await tell(requestOf(event), { parameters })).length, 1);
	});

	it('is written down, though n8n makes the workflow of the execution of the same object', async () => {
		const raw = { 'node:Trigger': kept };
		const made = () =>
			new Workflow({ active: true, connections: {}, nodes: [], nodeTypes: {}, staticData: raw });
		const workflow = made();
		const event = fired();
		assert.equal((await tell(requestOf(event), { workflow })).length, 1);
		made();
		assert.equal(workflow.staticData.__dataChanged, true);
		assert.deepEqual(workflow.staticData['node:Trigger'].seen, [event.id]);
	});

	it('is remembered among the last two hundred', async () => {
		const events = Array.from({ length: 201 }, () => fired());
		for (const event of events) await tell(requestOf(event));
		assert.equal(kept.seen.length, 200);
		assert.equal(await tell(requestOf(events[1])), 'none');
		assert.equal((await tell(requestOf(events[0]))).length, 1);
	});

	it('of another severity is taken and starts nothing', async () => {
		const parameters = { options: { severities: ['critical'] } };
		const data = { severity: 'info' };
		assert.equal(await tell(requestOf(fired({ data })), { parameters }), 'none');
		assert.equal((await tell(requestOf(fired()), { parameters })).length, 1);
		const mail = fired({ kind: 'email.bounced', data: {} });
		assert.equal((await tell(requestOf(mail), { parameters })).length, 1);
	});

	it('is taken through a change of the secret, after which the node has its own', async () => {
		const before = api.only.secret;
		api.rotate(api.only);
		const both = requestOf(fired(), { secrets: [api.only.secret, before] });
		assert.equal((await tell(both)).length, 1);
		assert.deepEqual(api.asked, ['GET /w1', 'POST /w1/rotate']);
		assert.equal((await tell(requestOf(fired()))).length, 1);
		// What was on its way meanwhile.
		const late = requestOf(fired(), { secrets: [before] });
		assert.equal((await tell(late)).length, 1);
		kept.previousUntil = Date.now();
		assert.equal(await tell(requestOf(fired(), { secrets: [before] })), 401);
	});

	it('is taken at the second try after the credential or the secret was changed', async () => {
		const credentials = { apiKey: 'es_2' }; // pragma: allowlist secret
		assert.equal(await tell(requestOf(fired()), { credentials }), 401);
		assert.deepEqual(api.asked, ['GET /w1', 'POST /w1/rotate']);
		assert.equal((await tell(requestOf(fired()), { credentials })).length, 1);

		kept.healedAt -= 60_000;
		api.rotate(api.only);
		assert.equal(await tell(requestOf(fired()), { credentials }), 401);
		assert.equal((await tell(requestOf(fired()), { credentials })).length, 1);
	});

	it('that tries the webhook starts no published workflow, and a test with a sample', async () => {
		const trial = fired({ kind: 'webhook.test' });
		assert.equal(await tell(requestOf(trial)), 'none');
		const [item] = await tell(requestOf(trial), { mode: 'manual' });
		assert.equal(item.kind, 'alert.fired');
		assert.equal(item.data.severity, 'critical');
	});

	it('has a sample of every kind, with what is told of it', () => {
		for (const { value } of EVENTS) {
			const { kind, subject, data } = sampleOf(value);
			assert.deepEqual([kind, subject.split(':')[0]], [value, value.split('.')[0]]);
			// That it is late is all there is to say of a message.
			assert.equal(Object.keys(data).length > 0, value !== 'email.delayed', value);
		}
	});
});
