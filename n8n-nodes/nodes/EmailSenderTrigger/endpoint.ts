/** The webhook at Email Sender that calls a workflow: made, looked after and removed by the API, as n8n asks for it. */
import { createHash } from 'crypto';
import type {
	ICredentialDataDecryptedObject,
	IDataObject,
	IHookFunctions,
	IHttpRequestMethods,
	IN8nHttpFullResponse,
	IWebhookFunctions,
	JsonObject,
} from 'n8n-workflow';
import { NodeApiError } from 'n8n-workflow';
import { credentialOf } from '../EmailSender/shared/credential';
import { baseUrl, explainThrown, problemError } from '../EmailSender/shared/failure';
import { API_ROOT, trust } from '../EmailSender/shared/server';
import { seal, unseal } from './signature';

const REQUEST_TIMEOUT_MS = 30_000;
/** The code of the API for a name that is taken. */
const EXISTS = 'webhooks.exists';
/** Whoever is published anew within this time goes on where it was. */
const GAP_MS = 60_000;
/** How long the secret before one that we have asked for is taken as well: what is on its way may be signed by it. */
const OVERLAP_MS = 86_400_000;
/** How far back the editor looks for an event to try a workflow with. */
const RECENT_EVENTS = 500;
/** How often a request that cannot be told apart from a forged one may have us ask the API. */
const HEAL_MS = 60_000;

type Context = IHookFunctions | IWebhookFunctions;

/** What n8n keeps for the node; all of it is written anew, never changed in place, or n8n would not see it. */
export interface Kept extends IDataObject {
	webhookId?: string;
	/** Sealed. */
	secret?: string;
	keyVersion?: number;
	/** The secret before, sealed, and until when it is taken. */
	previous?: string;
	previousUntil?: number;
	/** What the webhook was made for; see `wish`. */
	wish?: string;
	/** IDs of the last events. */
	seen?: string[];
	/** Where it was when it was removed, and when that was. */
	leftSeq?: number;
	leftAt?: number;
	/** When the API was last asked for a secret that fits. */
	healedAt?: number;
}

/** What the API answers; with an error where it refuses, and the status 0 where it does not answer at all. */
interface Reply {
	status: number;
	body: IDataObject;
	error?: NodeApiError;
}

export function keptOf(context: Context): Kept {
	return context.getWorkflowStaticData('node') as Kept;
}

/**
 * Has n8n write down what the node keeps, when the execution that is being started is on record.
 *
 * n8n 2 makes the execution's workflow of the same object as the request's, and thereby forgets that it has changed, before
 * it asks whether there is anything to write. A copy is the request's alone.
 */
export function writeDown(context: IWebhookFunctions): void {
	const { workflow } = context as unknown as {
		workflow?: { staticData: IDataObject; overrideStaticData?: (data: IDataObject) => void };
	};
	workflow?.overrideStaticData?.(JSON.parse(JSON.stringify(workflow.staticData)) as IDataObject);
}

/** Whether the webhook is there and does what the node says; one that was changed meanwhile is put right. */
export async function exists(context: IHookFunctions): Promise<boolean> {
	const kept = keptOf(context);
	if (!kept.webhookId) return false;
	const { status, body: found, error } = await call(context, 'GET', pathOf(kept.webhookId));
	if (status === 404) {
		forget(kept);
		return false;
	}
	// It was there when n8n stopped. n8n would remove it for an error, and what happens meanwhile would be lost.
	if (error && (status === 0 || status === 429 || status >= 500)) {
		context.logger.warn(`The webhook could not be looked at: ${error.message}`);
		return true;
	}
	if (error) throw error;
	const atStart = ['init', 'leadershipChange'].includes(context.getActivationMode());
	// What a person has switched off stays so until somebody publishes the workflow.
	const isOff = found.enabled === false && !(atStart && !found.stopped_why);
	if (isOff || kept.wish !== wish(context)) {
		const path = pathOf(kept.webhookId);
		done(await call(context, 'PUT', path, { ...wanted(context), enabled: true }));
		kept.wish = wish(context);
	}
	const secrets = await secretsOf(context, kept);
	if (found.key_version !== kept.keyVersion || secrets.length === 0) await renew(context, kept);
	return true;
}

/** Makes the webhook; one of its name is a leftover of this very node, and gives way. */
export async function create(context: IHookFunctions): Promise<void> {
	const kept = keptOf(context);
	const body: IDataObject = wanted(context);
	const isTest = context.getMode() === 'manual';
	if (!isTest && kept.leftSeq !== undefined && Date.now() - (kept.leftAt ?? 0) < GAP_MS) {
		body.since_seq = kept.leftSeq;
	}
	let answer = await call(context, 'POST', '/webhooks', body);
	if (answer.body.code === EXISTS) {
		const leftover = await findByName(context, body.name as string);
		if (leftover) await removeById(context, leftover);
		answer = await call(context, 'POST', '/webhooks', body);
	}
	const made = done(answer);
	const webhookId = made.id as string;
	const credentials = await credentialsOf(context);
	kept.webhookId = webhookId;
	kept.secret = seal(made.secret as string, credentials, webhookId);
	kept.keyVersion = made.key_version as number;
	kept.wish = wish(context);
	delete kept.leftSeq;
	delete kept.leftAt;
	const { testWith } = context.getNodeParameter('options', {}) as IDataObject;
	if (isTest && testWith !== 'next') {
		const after = Math.max(0, (made.seq as number) - RECENT_EVENTS);
		done(await call(context, 'POST', `${pathOf(webhookId)}/replay`, { after_seq: after }));
	}
}

/** Removes the webhook, and remembers where it was. */
export async function remove(context: IHookFunctions): Promise<void> {
	const kept = keptOf(context);
	const { webhookId } = kept;
	if (!webhookId) return;
	const { body: found } = await call(context, 'GET', pathOf(webhookId));
	await removeById(context, webhookId);
	forget(kept);
	if (typeof found.seq === 'number') {
		kept.leftSeq = found.seq;
		kept.leftAt = Date.now();
	}
}

/** The secrets that a request may be signed with now; none where the credential has changed. */
export async function secretsOf(context: Context, kept: Kept): Promise<string[]> {
	const { webhookId, secret, previous, previousUntil = 0 } = kept;
	if (!webhookId) return [];
	const credentials = await credentialsOf(context);
	const sealed = [secret, Date.now() < previousUntil ? previous : undefined];
	return sealed
		.map((one) => unseal(one, credentials, webhookId))
		.filter((one) => one !== undefined);
}

/**
 * Asks for a secret that fits, where somebody has changed the secret or the credential; the next try is signed by it.
 *
 * Whoever asks for it is not known yet. So the API is asked first whether there is anything to it, once a minute at most.
 */
export async function heal(context: IWebhookFunctions, kept: Kept): Promise<void> {
	if (!kept.webhookId || Date.now() - (kept.healedAt ?? 0) < HEAL_MS) return;
	kept.healedAt = Date.now();
	try {
		const found = done(await call(context, 'GET', pathOf(kept.webhookId)));
		const secrets = await secretsOf(context, kept);
		if (found.key_version === kept.keyVersion && secrets.length > 0) return;
		await renew(context, kept);
	} catch (error) {
		context.logger.warn(`The webhook got no secret that fits: ${(error as Error).message}`);
	}
}

async function renew(context: Context, kept: Kept): Promise<void> {
	const webhookId = kept.webhookId as string;
	const made = done(await call(context, 'POST', `${pathOf(webhookId)}/rotate`));
	const credentials = await credentialsOf(context);
	kept.previous = kept.secret;
	kept.previousUntil = Date.now() + OVERLAP_MS;
	kept.secret = seal(made.secret as string, credentials, webhookId);
	kept.keyVersion = made.key_version as number;
}

function forget(kept: Kept): void {
	// What was seen stays: whoever goes on where it was may be told of it again.
	for (const name of ['webhookId', 'secret', 'keyVersion', 'previous', 'previousUntil', 'wish']) {
		delete kept[name];
	}
}

/** What the webhook is to be, as the API takes it. */
function wanted(context: IHookFunctions) {
	const { subject = '', otherEvents = '' } = context.getNodeParameter('options', {}) as {
		subject?: string;
		otherEvents?: string;
	};
	const others = otherEvents.split(/[\s,;]+/).filter(Boolean);
	const kinds = [...(context.getNodeParameter('events', []) as string[]), ...others];
	return {
		name: nameOf(context),
		url: context.getNodeWebhookUrl('default'),
		kinds: [...new Set(kinds)].sort(),
		subject: subject.trim(),
	};
}

/** Tells whether the node says another thing than when the webhook was made. */
function wish(context: IHookFunctions): string {
	return digest(wanted(context));
}

/** A name for people, that no other node has: not of the workflow's copy, nor of the same one in another n8n. */
function nameOf(context: IHookFunctions): string {
	const { id, name } = context.getWorkflow();
	const mark = context.getMode() === 'manual' ? 'test' : 'live';
	const own = digest([context.getInstanceId(), id, context.getNode().id]).slice(0, 12);
	const spoken = (name ?? '').replace(/\p{C}/gu, ' ').trim();
	return `n8n ${Array.from(spoken).slice(0, 60).join('')} ${own} ${mark}`;
}

function digest(value: unknown): string {
	return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}

async function findByName(context: Context, name: string): Promise<string | undefined> {
	let cursor: unknown;
	do {
		const query = cursor ? `&cursor=${encodeURIComponent(cursor as string)}` : '';
		const page = done(await call(context, 'GET', `/webhooks?limit=200${query}`));
		const found = (page.items as IDataObject[]).find((one) => one.name === name);
		if (found) return found.id as string;
		cursor = page.next_cursor;
	} while (cursor);
	return undefined;
}

async function removeById(context: Context, webhookId: string): Promise<void> {
	const { status, error } = await call(context, 'DELETE', pathOf(webhookId));
	// Whoever removed it before us did what we wanted.
	if (error && status !== 404) throw error;
}

function pathOf(webhookId: string): string {
	return `/webhooks/${encodeURIComponent(webhookId)}`;
}

async function credentialsOf(context: Context): Promise<ICredentialDataDecryptedObject> {
	return await context.getCredentials(credentialOf(context.getNodeParameter('authentication')));
}

function done({ body, error }: Reply): IDataObject {
	if (error) throw error;
	return body;
}

async function call(
	context: Context,
	method: IHttpRequestMethods,
	path: string,
	body?: IDataObject,
): Promise<Reply> {
	const credential = credentialOf(context.getNodeParameter('authentication'));
	const credentials = await context.getCredentials(credential);
	const request = {
		method,
		url: `${baseUrl(context, undefined, credentials.baseUrl)}${API_ROOT}${path}`,
		headers: {
			Accept: 'application/json, application/problem+json',
			...(body ? { 'Content-Type': 'application/json' } : {}),
		},
		body: body && JSON.stringify(body),
		json: true,
		returnFullResponse: true as const,
		// 401 has to be thrown: that is the sign on which n8n fetches a fresh token and tries again.
		ignoreHttpStatusErrors: { ignore: true as const, except: [401] },
		disableFollowRedirect: true,
		sendCredentialsOnCrossOriginRedirect: false,
		timeout: REQUEST_TIMEOUT_MS,
		...trust(credentials.caCertificate),
	};
	let answer: IN8nHttpFullResponse;
	try {
		answer = await context.helpers.httpRequestWithAuthentication.call(context, credential, request);
	} catch (thrown) {
		const error = explainThrown(context, undefined, request, thrown as JsonObject);
		if (!(error instanceof NodeApiError)) throw error;
		return { status: error.httpCode === '401' ? 401 : 0, body: {}, error };
	}
	const { statusCode: status, headers } = answer;
	const told = answer.body as unknown;
	const said = (typeof told === 'object' && told !== null ? told : {}) as IDataObject;
	if (status >= 200 && status < 300) return { status, body: said };
	const error = problemError(context, undefined, status, told, headers['x-request-id'], []);
	return { status, body: said, error };
}
