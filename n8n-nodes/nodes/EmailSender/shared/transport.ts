/**
 * The one way out of this package: every request to Email Sender passes here, so that authentication, waiting,
 * idempotency, tracing and the wording of failures are decided once.
 */
import { createHash, randomUUID } from 'crypto';
import type {
	IDataObject,
	IExecuteFunctions,
	IHttpRequestMethods,
	IHttpRequestOptions,
	IN8nHttpFullResponse,
	JsonObject,
} from 'n8n-workflow';
import { NodeApiError, NodeOperationError, sleep } from 'n8n-workflow';
import { credentialOf } from './credential';
import { baseUrl, explainThrown, type Problem, problemError } from './failure';
import { connectionCode, isBroken, trust } from './server';

const REQUEST_TIMEOUT_MS = 60_000;
const MAX_ATTEMPTS = 6;
const MAX_TOTAL_WAIT_MS = 60_000;
/** A request that hangs until its time is over is repeated, but not six times. */
const MAX_TOTAL_MS = 150_000;
const FIRST_BACKOFF_MS = 500;
/** An id as the API takes it from a header. */
const PLAIN_ID = /^[A-Za-z0-9._:/+=-]{1,100}$/;
/** The code of the API for an idempotency key that came with another content. */
const KEY_REUSED = 'gateway.idempotency_key_reused';
/** Of the POSTs that may be repeated by "Retry On Fail", as many characters are remembered. */
const MAX_REMEMBERED = 8_000_000;

/** Time as the transport sees it; the tests bring their own. */
export interface Clock {
	now(): number;
	sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

const systemClock: Clock = { now: () => Date.now(), sleep };

export interface Call {
	/** `METHOD /path`, where `{name}` stands for a value in `params`. */
	route: string;
	params?: Record<string, string>;
	query?: IDataObject;
	body?: IDataObject | IDataObject[];
	/** In the body's stead: objects that are sent a line each (NDJSON). */
	lines?: IDataObject[];
	headers?: Record<string, string>;
	/** How long to wait for repeats in all, when it is less than usual. */
	patienceMs?: number;
}

export interface Answer {
	status: number;
	headers: IDataObject;
	body: unknown;
	/** The act of an earlier try of the same node on the same item, which said something else. */
	isOfEarlierTry?: boolean;
}

/** The API as one operation on one input item sees it. */
export interface Api {
	/**
	 * Sends one request and returns a 2xx answer.
	 *
	 * Waits and repeats on 429, on 503, on a 409 that names a time, and, where acting twice is impossible, on 500, 502, 504
	 * and broken connections: at most 6 attempts and 60 seconds of waiting. A POST carries the same idempotency key each
	 * time. Where "Retry On Fail" asks with another content for what was done already, the first content's answer is given.
	 *
	 * @throws NodeApiError with the problem's title, detail, code and request id
	 */
	call(request: Call): Promise<Answer>;
	/** The JSON object in an answer. */
	read(request: Call, answer: Answer): IDataObject;
	/** As `call`, for operations whose answer must be a JSON object. */
	object(request: Call): Promise<IDataObject>;
	/** As `object`, but `undefined` for 204. Any other answer without an object is not from this API. */
	objectOrNothing(request: Call): Promise<IDataObject | undefined>;
	/** What an answer says against this item, when it is about several: a problem without a status of its own. */
	explain(answer: Answer, problem: IDataObject): NodeApiError;
	/** Waits; ends at once when the execution is cancelled. */
	pause(milliseconds: number): Promise<void>;
	now(): number;
	/** Names this run of the node; the same when "Retry On Fail" runs it again. */
	run: string;
	/** Whether a language model asks. */
	isTool: boolean;
	/**
	 * The trace that came with this item. Where none did, only the API knows which one the calls are in: n8n's own
	 * OpenTelemetry writes its span over what we would send.
	 */
	traceId: string | undefined;
}

/**
 * Opens the API for one run of the node.
 *
 * The returned function binds it to an input item and an operation, which is what tells one POST from another.
 */
export function openApi(
	context: IExecuteFunctions,
	clock: Clock = systemClock,
): (item: number, operation: string) => Api {
	const credential = credentialOf(context.getNodeParameter('authentication', 0));
	const identity = identify(context);
	const namesOfRun = runHeaders(context);
	const traceFromTrigger = once(() => findTriggerTrace(context));
	const traceFromN8n = once(async () => await findSpanOfN8n(context));
	const signal = context.getExecutionCancelSignal();

	/** An answer, or the error of a connection that broke before there was one. */
	async function attempt(item: number, request: IHttpRequestOptions): Promise<Answer | Broken> {
		try {
			const answer = (await context.helpers.httpRequestWithAuthentication.call(
				context,
				credential,
				// n8n writes into the options it is given; a repeat must start from clean ones.
				{ ...request, headers: { ...request.headers } },
			)) as IN8nHttpFullResponse;
			return { status: answer.statusCode, headers: answer.headers, body: answer.body };
		} catch (thrown) {
			const error = explainThrown(context, item, request, thrown as JsonObject);
			if (isBroken(connectionCode(thrown)) && !signal?.aborted) return { error };
			throw error;
		}
	}

	return (item, operation) => {
		let posts = 0;

		async function prepare({ route, params = {}, query, body, lines, headers = {} }: Call) {
			const [method, template] = route.split(' ') as [IHttpRequestMethods, string];
			const credentials = await context.getCredentials(credential, item);
			const request: IHttpRequestOptions & { headers: IDataObject } = {
				method,
				url: baseUrl(context, item, credentials.baseUrl) + fill(context, item, template, params),
				qs: query,
				headers: {
					Accept: 'application/json, application/problem+json',
					...((await traceFromN8n()) ?? traceHeaders(context, item, identity, traceFromTrigger)),
					...namesOfRun,
					...headers,
				},
				json: true,
				returnFullResponse: true,
				// 401 has to be thrown: that is the sign on which n8n fetches a fresh token and tries again.
				ignoreHttpStatusErrors: { ignore: true, except: [401] },
				// The API never redirects, and the token must not follow a host that does.
				disableFollowRedirect: true,
				sendCredentialsOnCrossOriginRedirect: false,
				timeout: REQUEST_TIMEOUT_MS,
				...trust(credentials.caCertificate),
			};
			if (body !== undefined) {
				// As text, because n8n silently drops an empty object.
				request.body = JSON.stringify(body);
				request.headers['Content-Type'] = 'application/json';
			}
			if (lines !== undefined) {
				request.body = lines.map((line) => JSON.stringify(line)).join('\n');
				request.headers['Content-Type'] = 'application/x-ndjson';
			}
			if (method === 'POST') {
				const key = idempotencyKey(identity, item, operation, posts++, request.body as string);
				request.headers['Idempotency-Key'] = key;
			}
			return request;
		}

		async function call(asked: Call): Promise<Answer> {
			const request = await prepare(asked);
			const method = request.method as string;
			const key = request.headers['Idempotency-Key'] as string | undefined;
			// Without a key, what was done twice may differ from what was done once: a PATCH, or a PUT of one version only.
			const mayActTwice = method === 'PATCH' || 'If-Match' in request.headers;
			const { patienceMs = MAX_TOTAL_WAIT_MS } = asked;
			const started = clock.now();
			let waited = 0;
			let inDoubt = false;
			let isOfEarlierTry = false;
			for (let tries = 1; ; tries++) {
				const answer = await attempt(item, request);
				if ('error' in answer || answer.status >= 500) inDoubt = true;
				if (key && (inDoubt || isDone(answer)))
					remember(key, request.body as string, isDone(answer));
				if (isDone(answer)) return isOfEarlierTry ? { ...answer, isOfEarlierTry } : answer;
				// What the lost answer was about is gone: that was the wish.
				if (inDoubt && method === 'DELETE' && 'status' in answer && answer.status === 404) {
					return { status: 204, headers: {}, body: undefined };
				}
				const first = key && isKeyReused(answer) ? remembered.get(key) : undefined;
				if (first !== undefined && first !== request.body) {
					request.body = first;
					isOfEarlierTry = true;
					continue;
				}

				const wait = waitBeforeRepeat(answer, tries, clock.now(), !mayActTwice);
				if (
					wait === undefined ||
					tries === MAX_ATTEMPTS ||
					waited + wait > Math.min(patienceMs, MAX_TOTAL_WAIT_MS) ||
					clock.now() - started + wait > MAX_TOTAL_MS
				) {
					throw 'error' in answer
						? answer.error
						: explainAnswer(context, item, answer, tries, wait);
				}
				await pause(wait);
				waited += wait;
			}
		}

		async function object(request: Call): Promise<IDataObject> {
			return read(request, await call(request));
		}

		async function objectOrNothing(request: Call): Promise<IDataObject | undefined> {
			const answer = await call(request);
			return answer.status === 204 ? undefined : read(request, answer);
		}

		function read({ route }: Call, { body, status }: Answer): IDataObject {
			if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
				refuseWithheld(body as IDataObject);
				return body as IDataObject;
			}
			throw new NodeOperationError(context.getNode(), 'The answer is not a JSON object', {
				description: `Status ${status} from ${route}. Does the credential's Base URL point at Email Sender?`,
				itemIndex: item,
			});
		}

		function explain({ headers }: Answer, problem: IDataObject): NodeApiError {
			return problemError(context, item, undefined, problem, headers['x-request-id'], []);
		}

		async function pause(milliseconds: number): Promise<void> {
			await clock.sleep(milliseconds, signal);
		}

		const { isTool } = identity;
		const run = digest([...identity.execution, ...identity.run]);
		/** A second try is answered as the first was, but for the secret: nothing is to go on without it. */
		function refuseWithheld({ secret_withheld: said }: IDataObject): void {
			if (typeof said !== 'string') return;
			throw new NodeOperationError(
				context.getNode(),
				'The secret was shown once, and that answer did not arrive',
				{ description: said, itemIndex: item },
			);
		}

		const now = () => clock.now();
		return {
			call,
			read,
			object,
			objectOrNothing,
			explain,
			pause,
			now,
			run,
			isTool,
			get traceId() {
				return receivedTrace(context, item, traceFromTrigger)?.traceparent.split('-')[1];
			},
		};
	};
}

interface Broken {
	error: NodeApiError | NodeOperationError;
}

function isDone(answer: Answer | Broken): answer is Answer {
	return 'status' in answer && answer.status >= 200 && answer.status < 300;
}

function isKeyReused(answer: Answer | Broken): boolean {
	return 'status' in answer && (answer.body as Problem | undefined)?.code === KEY_REUSED;
}

/**
 * What was asked for under an idempotency key, as long as this process lives and there is room.
 *
 * "Retry On Fail" runs a node again within seconds and in the same process. If the content has changed meanwhile (`$now`),
 * the API refuses the key; asked with the first content it tells what became of the act.
 */
const remembered = new Map<string, string>();
let rememberedCharacters = 0;

function remember(key: string, body: string | undefined, isAnswered: boolean): void {
	const earlier = remembered.get(key);
	if (body === undefined || body.length > MAX_REMEMBERED / 8) return;
	if (earlier === body || (earlier !== undefined && !isAnswered)) return;
	remembered.delete(key);
	remembered.set(key, body);
	rememberedCharacters += body.length - (earlier?.length ?? 0);
	for (const [oldest, text] of remembered) {
		if (rememberedCharacters <= MAX_REMEMBERED) break;
		remembered.delete(oldest);
		rememberedCharacters -= text.length;
	}
}

interface Identity {
	/** Names this execution among all executions of all n8n instances. */
	execution: string[];
	/** Names this run of this node within the execution; empty for a tool, see `idempotencyKey`. */
	run: string[];
	isTool: boolean;
}

function identify(context: IExecuteFunctions): Identity {
	const node = context.getNode();
	// An execution id counts up from 1 in every n8n, hence the instance and the workflow beside it. Without an id nothing
	// outlives this run of the node, so a random name is exact: repeats inside the run share it, nothing else can.
	const execution = context.getExecutionId() || `unsaved-${randomUUID()}`;
	const isTool = isToolRun(context);
	const runIndex = isTool ? 'tool' : String(context.getWorkflowDataProxy(0).$runIndex);
	return {
		execution: [context.getInstanceId(), context.getWorkflow().id ?? '', execution],
		run: [node.id || node.name, runIndex],
		isTool,
	};
}

/** Agents of version 3 run a tool as a node of its own, whose context says that it is none; its type tells. */
export function isToolRun(context: IExecuteFunctions): boolean {
	return context.isToolExecution?.() === true || context.getNode().type.endsWith('Tool');
}

/**
 * The key under which the API does a POST at most once.
 *
 * Same execution, node, run index, item and operation give the same key: a repeat by this helper or by "Retry On Fail"
 * is answered with the first result. A loop has another run index. A tool call is different: n8n gives each retry of a
 * tool a new run index and may give two parallel calls the same one, so there the content takes the index's place.
 */
function idempotencyKey(
	{ execution, run, isTool }: Identity,
	item: number,
	operation: string,
	nth: number,
	body: string | undefined,
): string {
	const parts = [...execution, ...run, String(item), operation, String(nth)];
	return digest(isTool ? [...parts, body ?? ''] : parts);
}

/** Which execution of which workflow asks: the audit trail names them, and is searched by them. */
function runHeaders(context: IExecuteFunctions): Record<string, string> {
	const named = {
		'X-Workflow-Id': context.getWorkflow().id,
		'X-Execution-Id': context.getExecutionId(),
	};
	// Of a workflow that was never saved, or a run of one node, n8n knows no id.
	return Object.fromEntries(
		Object.entries(named).filter((one): one is [string, string] => PLAIN_ID.test(one[1] ?? '')),
	);
}

function digest(parts: string[]): string {
	return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

interface Trace {
	traceparent: string;
	tracestate?: string;
}

/**
 * The span that n8n's own OpenTelemetry has open for this run of the node; undefined where it is switched off.
 *
 * n8n (2.41) writes it into the headers of requests without a credential only, and hands it out by no other way. So it
 * is given such a request, which is cancelled before it begins: it is never sent.
 */
async function findSpanOfN8n(context: IExecuteFunctions): Promise<Trace | undefined> {
	const headers: IDataObject = {};
	try {
		const abortSignal = AbortSignal.abort();
		await context.helpers.httpRequest({ url: 'http://localhost/', headers, abortSignal });
	} catch {
		// Cancelled, as it was to be.
	}
	return readTrace({ headers });
}

function traceHeaders(
	context: IExecuteFunctions,
	item: number,
	{ execution, run }: Identity,
	fromTrigger: () => Trace | undefined,
): Record<string, string> {
	const received = receivedTrace(context, item, fromTrigger);
	if (received) return { ...received };
	// Derived, not random: all nodes of one execution land in one trace without sharing any state.
	const traceId = digest(['trace', ...execution]).slice(0, 32);
	const spanId = digest(['span', ...execution, ...run, String(item)]).slice(0, 16);
	// Not sampled: nobody upstream asked to keep this trace, so the platform decides at its end.
	return { traceparent: `00-${traceId}-${spanId}-00` };
}

function receivedTrace(
	context: IExecuteFunctions,
	item: number,
	fromTrigger: () => Trace | undefined,
): Trace | undefined {
	return readTrace(context.getInputData()[item]?.json) ?? fromTrigger();
}

function findTriggerTrace(context: IExecuteFunctions): Trace | undefined {
	const starts = context
		.getParentNodes(context.getNode().name)
		.filter(({ type }) => /(webhook|trigger)$/i.test(type));
	if (starts.length === 0) return undefined;
	const proxy = context.getWorkflowDataProxy(0);
	for (const { name } of starts) {
		const start = proxy.$(name) as {
			isExecuted: boolean;
			first(): { json?: IDataObject } | undefined;
		};
		const trace = start.isExecuted ? readTrace(start.first()?.json) : undefined;
		if (trace) return trace;
	}
	return undefined;
}

/** Reads a W3C trace context from a webhook item (`json.headers`) or from the item's own fields. */
function readTrace(json: IDataObject | undefined): Trace | undefined {
	for (const source of [json?.headers as IDataObject | undefined, json]) {
		const { traceparent, tracestate } = source ?? {};
		if (typeof traceparent !== 'string') continue;
		const [, traceId, spanId] =
			/^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(traceparent) ?? [];
		if (!traceId || /^0+$/.test(traceId) || /^0+$/.test(spanId)) continue;
		const stateIsSafe = typeof tracestate === 'string' && /^[\x20-\x7e]{1,512}$/.test(tracestate);
		return stateIsSafe ? { traceparent, tracestate: tracestate as string } : { traceparent };
	}
	return undefined;
}

/** How long to wait before asking again, in milliseconds; undefined when asking again is pointless or unsafe. */
function waitBeforeRepeat(answer: Answer | Broken, tries: number, now: number, isSafe: boolean) {
	const backoff = FIRST_BACKOFF_MS * 2 ** (tries - 1);
	if ('error' in answer) return isSafe ? backoff : undefined;
	const { status, headers } = answer;
	const named = readRetryAfter(headers['retry-after'], now);
	if (status === 409) return headers['retry-after'] === undefined ? undefined : (named ?? backoff);
	if ([500, 502, 504].includes(status)) return isSafe ? (named ?? backoff) : undefined;
	if (status !== 429 && status !== 503) return undefined;
	return named ?? readRateLimitReset(headers.ratelimit) ?? backoff;
}

/** RFC 9110, section 10.2.3: seconds or a date. What is over already names no time to wait. */
function readRetryAfter(value: unknown, now: number): number | undefined {
	const text = String(value ?? '').trim();
	if (text === '') return undefined;
	// Fractions are not in the RFC, but servers send them.
	const milliseconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
	return milliseconds > 0 ? Math.ceil(milliseconds) : undefined;
}

/** `RateLimit: "a";r=0;t=3, "b";r=9;t=60`: the latest reset among the limits that are used up. */
function readRateLimitReset(value: unknown): number | undefined {
	if (typeof value !== 'string') return undefined;
	const resets = value
		.split(',')
		.filter((limit) => /;\s*r=0\s*(;|$)/.test(limit))
		.map((limit) => Number(/;\s*t=(\d+)/.exec(limit)?.[1]))
		.filter((seconds) => Number.isFinite(seconds));
	return resets.length > 0 ? Math.max(...resets) * 1000 : undefined;
}

function fill(
	context: IExecuteFunctions,
	item: number,
	template: string,
	params: Record<string, string>,
): string {
	return template.replace(/\{(\w+)\}/g, (_, name: string) => {
		const value = String(params[name] ?? '').trim();
		// Not merely escaped: "." and ".." survive escaping and would climb to another route.
		if (/^[A-Za-z0-9_-]+$/.test(value)) return value;
		throw new NodeOperationError(context.getNode(), `"${value}" is not an ID`, {
			description: `Needed for ${template}: letters, digits, "-" and "_" only`,
			itemIndex: item,
		});
	});
}

function explainAnswer(
	context: IExecuteFunctions,
	item: number,
	{ status, headers, body }: Answer,
	tries: number,
	wait: number | undefined,
): NodeApiError {
	const notes: string[] = [];
	if (status >= 300 && status < 400) {
		notes.push(
			`Redirected to ${String(headers.location)}; redirects are not followed. Check the Base URL.`,
		);
	}
	if ((body as Problem | undefined)?.code === KEY_REUSED) {
		notes.push(
			'An earlier try of this node did it already, with another content: nothing was lost, and nothing was done again. Keep values that change between tries ($now) out of a node with Retry On Fail.',
		);
	}
	if (tries > 1) notes.push(`Gave up after ${tries} attempts.`);
	if (wait !== undefined && wait > MAX_TOTAL_WAIT_MS) {
		notes.push(`Asked to wait ${Math.ceil(wait / 1000)} s, more than this node waits.`);
	}
	return problemError(context, item, status, body, headers['x-request-id'], notes);
}

function once<T>(compute: () => T): () => T {
	let result: { value: T } | undefined;
	return () => (result ??= { value: compute() }).value;
}
