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
	for (const credential of [new EmailSenderApi(), new EmailSenderOAuth2Api()]) {
		it(`${credential.name} is tested against /api/v1/me of its own base URL`, () => {
			assert.deepEqual(credential.test.request, {
				baseURL: '={{$credentials.baseUrl}}',
				url: '/api/v1/me',
			});
		});
	}

	it('sends the API key as a bearer token', () => {
		assert.deepEqual(new EmailSenderApi().authenticate.properties.headers, {
			Authorization: '=Bearer {{$credentials.apiKey}}',
		});
	});

	it('hides the API key in the editor', () => {
		const field = new EmailSenderApi().properties.find(({ name }) => name === 'apiKey');
		assert.equal(field.typeOptions.password, true);
	});

	it('asks for OAuth2 tokens as a client, without a person', () => {
		const values = Object.fromEntries(
			new EmailSenderOAuth2Api().properties.map(({ name, default: value }) => [name, value]),
		);
		assert.equal(values.grantType, 'clientCredentials');
		assert.equal(values.authentication, 'header');
		assert.match(values.accessTokenUrl, /\/oauth\/token$/);
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

	it('locks versions without naming where they come from', () => {
		assert.ok(!read('package-lock.json').includes('"resolved"'));
	});
});
