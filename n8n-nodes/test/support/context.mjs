/** A hand-made `this` for the node: the part of n8n's execution context that the package uses, and nothing else. */
import { createHmac } from 'node:crypto';
import { NodeApiError, NodeHelpers, NodeOperationError } from './n8n.mjs';
import { EmailSender } from '../../dist/nodes/EmailSender/EmailSender.node.js';
import { resources } from '../../dist/nodes/EmailSender/resources/index.js';
import { propertiesOf, runForEachItem } from '../../dist/nodes/EmailSender/shared/operation.js';
import { openApi } from '../../dist/nodes/EmailSender/shared/transport.js';

export const description = new EmailSender().description;

/** A clock that stands still, except for sleeping, which takes no time at all and is written down. */
export function makeClock(start = Date.parse('2026-01-01T00:00:00Z')) {
	let now = start;
	const sleeps = [];
	return {
		sleeps,
		now: () => now,
		sleep: async (milliseconds) => {
			sleeps.push(milliseconds);
			now += milliseconds;
		},
	};
}

/**
 * @param options.parameters what the builder filled in; fields left out have the node's own defaults, and fields that
 *   the editor would not show cannot be read, as in n8n. A function is asked for each item.
 * @param options.written what the builder wrote, where that is an expression; `parameters` is what it gives
 * @param options.expressions what each `{{ }}` gives by itself
 * @param options.offered the resources of the node, when they are not its own
 * @param options.answer called with each request; returns `{status, headers?, body?}` or throws
 */
export function makeContext({
	parameters,
	answer,
	items = [{ json: {} }],
	baseUrl = 'http://127.0.0.1:8400',
	executionId = '17',
	instanceId = 'instance-1',
	workflowId = 'workflow-1',
	nodeId = 'node-1',
	runIndex = 0,
	isTool = false,
	continueOnFail = false,
	parents = [],
	outputs = {},
	binary = {},
	offered = resources,
	nodeType = 'n8n-nodes-email-sender.emailSender',
	typeVersion = 1,
	written,
	expressions = {},
	credentials = {},
	span = undefined,
}) {
	const requests = [];
	const node = {
		id: nodeId,
		name: 'Email Sender',
		type: nodeType,
		typeVersion,
		position: [0, 0],
		parameters: written ?? (typeof parameters === 'function' ? {} : parameters),
	};
	const hints = [];
	const waits = [];
	const valuesOf = (item) => (typeof parameters === 'function' ? parameters(item) : parameters);
	const [authentication] = description.properties;
	const properties = [authentication, ...propertiesOf(offered)];
	const context = {
		requests,
		hints,
		waits,
		resources: offered,
		helpers: {
			// n8n's own: its OpenTelemetry writes into the headers, then the request goes out, unless it is cancelled.
			async httpRequest({ headers, abortSignal }) {
				if (span) headers.traceparent = span;
				if (abortSignal?.aborted) throw new Error('canceled');
				throw new Error('a request without a credential');
			},
			async httpRequestWithAuthentication(credential, options) {
				if (this !== context) throw new Error('called without the context as "this"');
				const url = new URL(options.url);
				const request = {
					credential,
					options,
					method: options.method,
					path: url.pathname,
					origin: url.origin,
					query: options.qs,
					headers: Object.fromEntries(
						Object.entries(options.headers).map(([name, value]) => [name.toLowerCase(), value]),
					),
					body: readBody(options),
				};
				requests.push(request);
				const { status, headers = {}, body } = await answer(request, requests.length);
				if (status === 401) throw new NodeApiError(node, axiosError(status, body));
				return { statusCode: status, headers, body };
			},
			assertBinaryData(item, name) {
				if (!binary[name]) {
					throw new NodeOperationError(
						node,
						`This operation expects the node's input data to contain a binary file '${name}'`,
					);
				}
				return binary[name];
			},
			getBinaryDataBuffer: async (item, name) => Buffer.from(binary[name].content),
		},
		getNodeParameter(name, item) {
			const shown = NodeHelpers.getNodeParameters(
				properties,
				{ authentication: 'oAuth2', ...valuesOf(item) },
				true,
				false,
				node,
				description,
			);
			if (!(name in shown)) throw new Error(`Could not get parameter "${name}"`);
			return shown[name];
		},
		getCredentials: async (name) => ({ baseUrl, name, ...credentials }),
		getExecutionId: () => executionId,
		getExecutionCancelSignal: () => undefined,
		getInputData: () => items,
		getInstanceId: () => instanceId,
		getNode: () => node,
		getParentNodes: () => parents,
		getTimezone: () => 'Europe/Berlin',
		getWorkflow: () => ({ id: workflowId, name: 'A workflow', active: true }),
		getWorkflowDataProxy: () => ({
			$runIndex: runIndex,
			$: (name) => ({
				isExecuted: name in outputs,
				first: () => outputs[name]?.[0],
			}),
		}),
		addExecutionHints: (...more) => hints.push(...more),
		getSignedResumeUrl: (said) => signedUrl(said),
		putExecutionToWait: async (until) => waits.push(until),
		evaluateExpression(expression) {
			if (!(expression in expressions)) throw new Error(`nobody said what ${expression} gives`);
			return expressions[expression];
		},
		isToolExecution: () => isTool,
		continueOnFail: () => continueOnFail,
	};
	return context;
}

/** An address of a waiting execution, signed as n8n does: over its path and what it says. */
export function signedUrl(said = {}) {
	const url = new URL('http://n8n.test/webhook-waiting/17/node-1');
	for (const [name, value] of Object.entries(said)) url.searchParams.set(name, value);
	const signed = createHmac('sha256', 'what n8n signs with').update(url.pathname + url.search).digest('hex');
	url.searchParams.set('signature', signed);
	return url.toString();
}

function readBody({ body, headers }) {
	if (body === undefined) return undefined;
	if (headers['Content-Type'] !== 'application/x-ndjson') return JSON.parse(body);
	return body.split('\n').map((line) => JSON.parse(line));
}

/** Runs the node as n8n would; returns the items of its only output. */
export async function runNode(context, clock = makeClock()) {
	const [output] = await runForEachItem(context, context.resources, (opened) =>
		openApi(opened, clock),
	);
	return output;
}

/** Runs the node and returns the error it fails with. */
export async function failNode(context, clock = makeClock()) {
	try {
		await runNode(context, clock);
	} catch (error) {
		return error;
	}
	throw new Error('the node was expected to fail, but it succeeded');
}

export function problem(status, code, title, more = {}) {
	return {
		status,
		headers: { 'content-type': 'application/problem+json', ...more.headers },
		body: {
			type: `/problems/${code}`,
			title,
			status,
			instance: '/api/v1/emails',
			code,
			request_id: 'req-1',
			...more.body,
		},
	};
}

export const queued = {
	id: '0199c2a4-6f3e-7c1b-9d52-3f1f0c6b8a11',
	job_id: '0199c2a4-6f3e-7c1b-9d52-3f1f0c6b8a12',
	state: 'queued',
	subject: 'Hello',
	to: ['ada@example.test'],
};

/** Takes e-mails as the API does, one by one or together. */
export function accepted({ path, body }) {
	if (!path?.endsWith('/batch')) return { status: 202, body: queued };
	const items = body.messages.map(({ to, subject }) => ({ ...queued, to, subject }));
	return { status: 202, body: { items } };
}

export const sendParameters = {
	resource: 'email',
	operation: 'send',
	to: 'ada@example.test',
	subject: 'Hello',
	text: 'Hi Ada',
};

function axiosError(status, data) {
	class AxiosError extends Error {}
	return Object.assign(new AxiosError(`Request failed with status code ${status}`), {
		isAxiosError: true,
		response: { status, data, headers: {} },
	});
}
