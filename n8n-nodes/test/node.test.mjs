import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { NodeHelpers } from './support/n8n.mjs';
import { readSnapshot, takeSnapshot } from './snapshot.mjs';
import { EmailSender } from '../dist/nodes/EmailSender/EmailSender.node.js';
import { EmailSenderApi } from '../dist/credentials/EmailSenderApi.credentials.js';
import { EmailSenderOAuth2Api } from '../dist/credentials/EmailSenderOAuth2Api.credentials.js';
import {
	accepted,
	description,
	failNode,
	makeContext,
	problem,
	queued,
	runNode,
	sendParameters,
} from './support/context.mjs';

const items = [{ json: { n: 0 } }, { json: { n: 1 } }, { json: { n: 2 } }];

describe('items', () => {
	it('come out paired with the item they came from', async () => {
		const output = await runNode(
			makeContext({ parameters: sendParameters, answer: accepted, items }),
		);
		assert.deepEqual(
			output.map(({ pairedItem }) => pairedItem),
			[{ item: 0 }, { item: 1 }, { item: 2 }],
		);
	});

	const cancel = { resource: 'job', operation: 'cancel', jobId: 'j-1' };
	const cancelled = () => ({ status: 200, body: { id: 'j-1' } });

	it('are worked on one after another', async () => {
		let running = 0;
		const answer = async () => {
			running += 1;
			await Promise.resolve();
			assert.equal(running, 1);
			running -= 1;
			return cancelled();
		};
		await runNode(makeContext({ parameters: cancel, answer, items }));
	});

	it('stop at the first failure', async () => {
		const answer = (_, nth) => (nth === 2 ? problem(404, 'not_found', 'No') : cancelled());
		const context = makeContext({ parameters: cancel, answer, items });
		await failNode(context);
		assert.equal(context.requests.length, 2);
	});

	it('go on after a failure when told to, with the error in its place', async () => {
		const answer = (_, nth) =>
			nth === 2
				? problem(404, 'job.not_found', 'No such job', { body: { detail: 'Never seen' } })
				: cancelled();
		const context = makeContext({ parameters: cancel, answer, items, continueOnFail: true });
		const output = await runNode(context);
		assert.equal(output.length, 3);
		assert.deepEqual(output[0].json, { id: 'j-1' });
		assert.deepEqual(output[1].json, {
			error: 'No such job',
			message: 'Never seen\nCode: job.not_found · Status: 404 · Request: req-1',
			details: { status: 404, code: 'job.not_found', request_id: 'req-1' },
		});
		// Anything else beside `json` would make n8n reduce the item to its message.
		assert.deepEqual(Object.keys(output[1]).sort(), ['json', 'pairedItem']);
		assert.deepEqual(output[1].pairedItem, { item: 1 });
		assert.deepEqual(output[2].json, { id: 'j-1' });
	});

	it('go on after a mistake in the fields, too', async () => {
		const parameters = (item) => ({ ...sendParameters, to: item === 0 ? '' : 'ada@example.test' });
		const context = makeContext({ parameters, answer: accepted, items, continueOnFail: true });
		const output = await runNode(context);
		assert.deepEqual(output[0].json, {
			error: 'There is no recipient in "To", "CC" or "BCC"',
		});
		assert.equal(output.length, 3);
	});

	it('tell an agent in the message what is wrong, for it sees nothing else', async () => {
		const answer = () =>
			problem(422, 'invalid_input', 'The request is not valid', {
				body: { errors: [{ pointer: '/body/to/0', detail: 'not an address' }] },
			});
		for (const tool of [{ isTool: true }, { nodeType: 'n8n-nodes-email-sender.emailSenderTool' }]) {
			const error = await failNode(makeContext({ parameters: sendParameters, answer, ...tool }));
			assert.match(error.message, /^The request is not valid: \/body\/to\/0: not an address/);
		}
	});

	it('of which there are none give none', async () => {
		const context = makeContext({ parameters: sendParameters, answer: accepted, items: [] });
		assert.deepEqual(await runNode(context), []);
	});

	it('refuses an operation that does not exist', async () => {
		const parameters = { resource: 'email', operation: 'delete' };
		const context = makeContext({ parameters, answer: () => assert.fail('no request expected') });
		context.getNodeParameter = (name) => parameters[name] ?? 'oAuth2';
		const error = await failNode(context);
		assert.match(error.message, /no operation "delete" on "email"/);
	});
});

describe('node', () => {
	it('runs through its own execute', async () => {
		const answer = () => ({ status: 202, body: queued });
		const context = makeContext({ parameters: sendParameters, answer });
		const [output] = await new EmailSender().execute.call(context);
		assert.deepEqual(output, [{ json: queued, pairedItem: { item: 0 } }]);
	});

	it('has a default operation for every resource', () => {
		const { options } = description.properties.find(({ name }) => name === 'resource');
		for (const { value } of options) {
			const shown = NodeHelpers.getNodeParameters(
				description.properties,
				{ resource: value },
				true,
				false,
				{ typeVersion: 1 },
				description,
			);
			assert.ok(shown.operation, `resource ${value} has no operation`);
		}
	});

	it('shows each field for the operations that read it only', () => {
		for (const field of description.properties.slice(2)) {
			assert.equal(field.displayOptions.show.resource.length, 1, field.name);
			if (field.name !== 'operation') {
				assert.equal(field.displayOptions.show.operation.length, 1, field.name);
			}
		}
	});

	it('calls each list as nodes of n8n do', () => {
		const choices = description.properties.filter(({ name }) => name === 'operation');
		const lists = choices.flatMap(({ options, displayOptions }) =>
			options
				.filter(({ value }) => value === 'list')
				.map(({ name }) => [...displayOptions.show.resource, name]),
		);
		assert.deepEqual(lists, [
			['email', 'Get Many'],
			['alert', 'Get Many'],
			['incident', 'Get Many'],
			['job', 'Get Many'],
			['jobGraph', 'Get Many'],
			['jobSchedule', 'Get Many'],
			['silence', 'Get Many'],
			['suppression', 'Get Many'],
		]);
	});

	it('offers its own custom API call where n8n would add one', () => {
		const { options } = description.properties.find(({ name }) => name === 'resource');
		assert.equal(options.at(-1).name, 'Custom API Call');
	});

	it('keeps what saved workflows are read with, and tells what it sends', () => {
		// Meant to change? `node test/snapshot.mjs`, and read the difference: version 1 only grows.
		assert.deepEqual(takeSnapshot(), readSnapshot());
	});

	it('may be used as a tool', () => {
		assert.equal(description.usableAsTool, true);
	});

	it('knows the credentials it asks for', () => {
		const names = [new EmailSenderApi().name, new EmailSenderOAuth2Api().name].sort();
		assert.deepEqual(description.credentials.map(({ name }) => name).sort(), names);
	});
});

describe('credentials', () => {
	const me = {
		name: 'n8n',
		role: 'workflow',
		permissions: ['email:send', 'email:read'],
		tenant: { name: 'Acme' },
	};
	const token = { access_token: 'es_at_1', token_type: 'Bearer' };
	const client = { baseUrl: 'http://es.test:8400', clientId: 'es_1', clientSecret: 's/1' };
	const key = { baseUrl: 'http://es.test:8400', apiKey: 'es_key_1' };
	const { credentialTest } = new EmailSender().methods;

	/** Runs a credential's test as n8n does; `answers` gives a body, or `[status, body]`, or throws. */
	async function check(test, data, answers) {
		const requests = [];
		const helpers = {
			async request(options) {
				requests.push(options);
				const told = answers(options);
				const [statusCode, body] = Array.isArray(told) ? told : [200, told];
				return { statusCode, body: typeof body === 'string' ? body : JSON.stringify(body) };
			},
		};
		const { status, message } = await credentialTest[test].call({ helpers }, { data });
		return { status, message, requests };
	}

	it('name the test that is theirs', () => {
		assert.deepEqual(
			description.credentials.map(({ name, testedBy }) => [name, testedBy]),
			[
				['emailSenderOAuth2Api', 'testClient'],
				['emailSenderApi', 'testApiKey'],
			],
		);
	});

	it('pass for a key that may send', async () => {
		const { status, message, requests } = await check('testApiKey', key, () => me);
		assert.deepEqual([status, message], ['OK', 'Connected as n8n of Acme']);
		assert.equal(requests[0].uri, 'http://es.test:8400/api/v1/me');
		assert.equal(requests[0].headers.Authorization, 'Bearer es_key_1');
	});

	it('pass for a client that may send, with a token of its own', async () => {
		const { status, requests } = await check('testClient', client, ({ uri }) =>
			uri.endsWith('/oauth/token') ? token : me,
		);
		assert.equal(status, 'OK');
		const [asked, used] = requests;
		assert.equal(asked.body, 'grant_type=client_credentials');
		assert.equal(
			Buffer.from(asked.headers.Authorization.slice(6), 'base64').toString(),
			'es_1:s%2F1',
		);
		assert.equal(used.headers.Authorization, 'Bearer es_at_1');
	});

	for (const baseUrl of ['http://es.test:8400/api/v1', 'http://es.test:8400/ ']) {
		it(`take the Base URL "${baseUrl}"`, async () => {
			const { status, requests } = await check('testClient', { ...client, baseUrl }, ({ uri }) =>
				uri.endsWith('/oauth/token') ? token : me,
			);
			assert.equal(status, 'OK');
			assert.equal(requests[0].uri, 'http://es.test:8400/oauth/token');
		});
	}

	const page = '<!DOCTYPE html><title>Streamlit</title>';
	const refused =
		(code, message = code) =>
		() => {
			throw Object.assign(new Error(message), { code });
		};
	for (const [what, answers, told] of [
		["the console's address", () => page, /that is the console/],
		['a page that is not found', () => [404, page], /that is the console/],
		['another server', () => [200, { hello: 1 }], /not Email Sender's API/],
		['nothing that listens', refused('ECONNREFUSED'), /In a container 127\.0\.0\.1/],
		['a name that nobody has', refused('ENOTFOUND'), /No machine has that name/],
		['a private authority', refused('DEPTH_ZERO_SELF_SIGNED_CERT'), /"CA Certificate"/],
		['http behind https', refused('EPROTO', 'wrong version number'), /http:\/\//],
	]) {
		it(`fail for ${what}, and say the next step`, async () => {
			for (const [test, data] of [
				['testApiKey', key],
				['testClient', client],
			]) {
				const { status, message } = await check(test, data, answers);
				assert.equal(status, 'Error');
				assert.match(message, told);
			}
		});
	}

	it('fail for a viewer, who could not send', async () => {
		const viewer = { ...me, role: 'viewer', permissions: ['email:read'] };
		const { status, message } = await check('testApiKey', key, () => viewer);
		assert.equal(status, 'Error');
		assert.match(message, /the role "viewer" may not send e-mail \(email:send\).*"workflow"/);
	});

	it('fail for a key that is unknown, and say where to make one', async () => {
		const { status, message } = await check('testApiKey', key, () => [401, {}]);
		assert.equal(status, 'Error');
		assert.match(message, /Make a new key under API keys/);
	});

	it('fail for a wrong secret, and blame the secret then only', async () => {
		const { message } = await check('testClient', client, () => [401, { error: 'invalid_client' }]);
		assert.match(message, /Make a new secret under API clients/);
		const limited = { title: 'Too many requests', status: 429 };
		const other = await check('testClient', client, () => [429, limited]);
		assert.match(other.message, /no access token: Too many requests/);
	});

	for (const baseUrl of ['', 'es.test', 'ftp://es.test']) {
		it(`fail for "${baseUrl}" as Base URL without a request`, async () => {
			const { status, message, requests } = await check(
				'testApiKey',
				{ ...key, baseUrl },
				() => me,
			);
			assert.equal(status, 'Error');
			assert.match(message, /is no Base URL/);
			assert.equal(requests.length, 0);
		});
	}

	it('trust the authority that was pasted', async () => {
		const caCertificate = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----';
		const { requests } = await check('testApiKey', { ...key, caCertificate }, () => me);
		assert.equal(requests[0].agentOptions.ca, caCertificate);
	});

	it('ask for the address first, and prefill one that is right in a container', () => {
		for (const { properties } of [new EmailSenderApi(), new EmailSenderOAuth2Api()]) {
			assert.equal(properties[0].name, 'baseUrl');
			assert.doesNotMatch(properties[0].default, /127\.0\.0\.1|localhost/);
		}
	});

	it('sends the API key as a bearer token', () => {
		assert.deepEqual(new EmailSenderApi().authenticate.properties.headers, {
			Authorization: '=Bearer {{$credentials.apiKey}}',
		});
	});

	it('hide what is secret in the editor', () => {
		const fields = [...new EmailSenderApi().properties, ...new EmailSenderOAuth2Api().properties];
		for (const name of ['apiKey', 'clientSecret', 'accessToken']) {
			assert.equal(fields.find((field) => field.name === name).typeOptions.password, true);
		}
	});

	it('fetch a token that serves as long as the client is the same', async () => {
		const credential = new EmailSenderOAuth2Api();
		const asked = [];
		const helpers = {
			httpRequest: async (options) => {
				asked.push(options);
				return { statusCode: 200, body: token };
			},
		};
		const kept = { ...client, ...(await credential.preAuthentication.call({ helpers }, client)) };
		assert.equal(asked[0].url, 'http://es.test:8400/oauth/token');
		const bearer = async (data) =>
			(await credential.authenticate(data, { url: 'x' })).headers.Authorization;
		assert.equal(await bearer(kept), 'Bearer es_at_1');
		for (const other of [
			{ clientId: 'es_2' },
			{ clientSecret: 's2' },
			{ baseUrl: 'http://b.test' },
		]) {
			assert.equal(await bearer({ ...kept, ...other }), 'Bearer ');
		}
	});
});

describe('package', () => {
	const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
	const manifest = JSON.parse(read('package.json'));

	it('has no runtime dependency', () => {
		assert.equal(manifest.dependencies, undefined);
		assert.deepEqual(Object.keys(manifest.peerDependencies), ['n8n-workflow']);
	});

	it('lists files that the build makes', () => {
		for (const file of [...manifest.n8n.nodes, ...manifest.n8n.credentials]) {
			assert.ok(read(file).length > 0, file);
		}
	});

	it('has the addresses of its manifest everywhere; scripts/n8n/addresses.sh sets them', () => {
		const { homepage } = manifest;
		const { resources: known } = JSON.parse(read('nodes/EmailSender/EmailSender.node.json'));
		assert.deepEqual(known.primaryDocumentation, [{ url: homepage }]);
		assert.deepEqual(known.credentialDocumentation, [{ url: `${homepage}#credentials` }]);
		for (const credential of [new EmailSenderApi(), new EmailSenderOAuth2Api()]) {
			assert.equal(credential.documentationUrl, `${homepage}#credentials`);
		}
		assert.ok(read('README.md').includes(`](${homepage})`));
	});

	it('has a README that leads nowhere outside of the package', () => {
		const links = [...read('README.md').matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link);
		assert.ok(links.length > 0);
		for (const link of links) assert.match(link, /^(#|https:\/\/)/, link);
		for (const heading of ['Compatibility', 'Resources', 'Version history']) {
			assert.match(read('README.md'), new RegExp(`^## ${heading}$`, 'm'));
		}
	});

	it('is found by what people search for', () => {
		const { alias } = JSON.parse(read('nodes/EmailSender/EmailSender.node.json'));
		for (const words of ['send email', 'e-mail', 'bounce', 'smtp'])
			assert.ok(alias.includes(words));
	});

	it('locks versions without naming where they come from', () => {
		assert.ok(!read('package-lock.json').includes('"resolved"'));
	});
});
