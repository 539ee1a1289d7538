/** The two ways to prove who asks, and the test that n8n's dialogue runs: it passes for who can send, and says the next step otherwise. */
import { createHash } from 'crypto';
import type {
	ICredentialDataDecryptedObject,
	ICredentialsDecrypted,
	ICredentialTestFunctions,
	IDataObject,
	IHttpRequestHelper,
	INodeCredentialTestResult,
	INodeProperties,
} from 'n8n-workflow';
import { UserError } from 'n8n-workflow';
import {
	adviceFor,
	API_ROOT,
	connectionCode,
	PLAIN_ADDRESS,
	readBaseUrl,
	trust,
	UNAUTHORIZED,
} from './server';

const SEND = 'email:send';
const READ = 'email:read';

/** Which of the credentials a node uses: the linter wants these themselves in each node. */
export const AUTHENTICATION: INodeProperties = {
	displayName: 'Authentication',
	name: 'authentication',
	type: 'options',
	options: [
		{ name: 'OAuth2', value: 'oAuth2' },
		{ name: 'API Key', value: 'apiKey' },
	],
	default: 'oAuth2',
};

export const baseUrlField: INodeProperties = {
	displayName: 'Base URL',
	name: 'baseUrl',
	type: 'string',
	default: 'http://host.docker.internal:8400',
	placeholder: 'https://email.example.com',
	description:
		"Where Email Sender's API is reached from n8n. From a container: the name of the service (http://email-sender:8400), or host.docker.internal for the machine around it. Without one, on the same machine: http://127.0.0.1:8400.",
	required: true,
};

export const caCertificateField: INodeProperties = {
	displayName: 'CA Certificate',
	name: 'caCertificate',
	type: 'string',
	typeOptions: { rows: 4 },
	default: '',
	placeholder: '-----BEGIN CERTIFICATE-----',
	description:
		'Of a private certificate authority (PEM), when Email Sender has a certificate of one. Leave it empty otherwise.',
};

interface Asked {
	method: 'GET' | 'POST';
	url: string;
	headers: Record<string, string>;
	body?: string;
}

interface Told {
	status: number;
	body: unknown;
}

/** Sends a request and gives any answer; throws when there is none. */
type Ask = (asked: Asked) => Promise<Told>;

/** The credential for a choice of "Authentication". */
export function credentialOf(authentication: unknown): string {
	return authentication === 'apiKey' ? 'emailSenderApi' : 'emailSenderOAuth2Api';
}

/** A fresh access token, kept with what it was asked with: other values in the credential need another one. */
export async function renewToken(
	this: IHttpRequestHelper,
	credentials: ICredentialDataDecryptedObject,
): Promise<IDataObject> {
	const ask: Ask = async ({ body, ...asked }) => {
		const answer = await this.helpers.httpRequest({
			...asked,
			body,
			...trust(credentials.caCertificate),
			returnFullResponse: true,
			ignoreHttpStatusErrors: true,
			disableFollowRedirect: true,
			json: true,
			timeout: 30_000,
		});
		return { status: answer.statusCode, body: answer.body };
	};
	const accessToken = await fetchToken(ask, credentials);
	return { accessToken, askedWith: ownerOf(credentials) };
}

/** The token if it was asked for with what the credential says now. */
export function currentToken(credentials: ICredentialDataDecryptedObject): string {
	return credentials.askedWith === ownerOf(credentials) ? String(credentials.accessToken) : '';
}

function ownerOf(credentials: ICredentialDataDecryptedObject): string {
	const { baseUrl, clientId, clientSecret } = credentials;
	const owner = JSON.stringify([readBaseUrl(baseUrl), clientId, clientSecret]);
	return createHash('sha256').update(owner).digest('hex');
}

export async function testApiKey(
	this: ICredentialTestFunctions,
	credential: ICredentialsDecrypted,
): Promise<INodeCredentialTestResult> {
	const data = credential.data ?? {};
	return await test(this, data, async () => String(data.apiKey ?? '').trim());
}

export async function testClient(
	this: ICredentialTestFunctions,
	credential: ICredentialsDecrypted,
): Promise<INodeCredentialTestResult> {
	const data = credential.data ?? {};
	return await test(this, data, async (ask) => await fetchToken(ask, data));
}

async function test(
	{ helpers }: ICredentialTestFunctions,
	data: ICredentialDataDecryptedObject,
	bearer: (ask: Ask) => Promise<string>,
): Promise<INodeCredentialTestResult> {
	const ask: Ask = async ({ url, ...asked }) => {
		const answer = await helpers.request({
			...asked,
			uri: url,
			...trust(data.caCertificate),
			simple: false,
			resolveWithFullResponse: true,
			followRedirect: false,
			timeout: 15_000,
		});
		return { status: answer.statusCode, body: readJson(answer.body) };
	};
	try {
		const token = await bearer(ask);
		const { status, body } = await asking(ask, {
			method: 'GET',
			url: `${rootOf(data)}${API_ROOT}/me`,
			headers: { Accept: 'application/json', Authorization: `Bearer ${token}` },
		});
		return judge(data, status, body);
	} catch (error) {
		return { status: 'Error', message: (error as Error).message };
	}
}

/** A page that says 200 is not enough, nor is a key that may not do what the node is for. */
function judge(
	data: ICredentialDataDecryptedObject,
	status: number,
	body: unknown,
): INodeCredentialTestResult {
	const { permissions, role, name, tenant } = (body ?? {}) as IDataObject;
	if (status === 401) return { status: 'Error', message: UNAUTHORIZED };
	if (status !== 200 || !Array.isArray(permissions)) throw notTheApi(data, status, body);
	const missing = [SEND, READ].filter((one) => !(permissions as unknown[]).includes(one));
	if (missing.length > 0) {
		return {
			status: 'Error',
			message: `Connected, but the role "${String(role)}" may not ${missing.includes(SEND) ? 'send e-mail' : 'read e-mail'} (${missing.join(', ')}). Make a key or a client with the role "workflow" in the console.`,
		};
	}
	const where = (tenant as IDataObject | undefined)?.name;
	return {
		status: 'OK',
		message: `Connected as ${String(name)}${where ? ` of ${String(where)}` : ''}`,
	};
}

/** RFC 6749, section 4.4. */
async function fetchToken(ask: Ask, data: ICredentialDataDecryptedObject): Promise<string> {
	const [id, secret] = [data.clientId, data.clientSecret].map((one) =>
		encodeURIComponent(String(one ?? '').trim()),
	);
	const { status, body } = await asking(ask, {
		method: 'POST',
		url: `${rootOf(data)}/oauth/token`,
		headers: {
			Accept: 'application/json',
			Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
			'Content-Type': 'application/x-www-form-urlencoded',
		},
		body: 'grant_type=client_credentials',
	});
	const {
		access_token: token,
		error,
		error_description: said,
		title,
	} = (body ?? {}) as IDataObject;
	if (status === 200 && typeof token === 'string') return token;
	if (error === 'invalid_client') {
		throw new UserError(
			'Email Sender does not know this client, or the secret is not its own, or the client is disabled. Make a new secret under API clients in the console, and paste Client ID and Client Secret into the credential.',
		);
	}
	if (typeof error === 'string' || typeof title === 'string') {
		throw new UserError(
			`Email Sender gave no access token: ${String(said ?? error ?? title)} (status ${status})`,
		);
	}
	throw notTheApi(data, status, body);
}

async function asking(ask: Ask, asked: Asked): Promise<Told> {
	const outcome = await ask(asked).catch((error: Error) => error);
	if (!(outcome instanceof Error)) return outcome;
	const said = `No answer from ${new URL(asked.url).origin}: ${outcome.message}.`;
	const advice = adviceFor(connectionCode(outcome));
	throw new UserError(advice ? `${said} ${advice}` : said);
}

function rootOf({ baseUrl }: ICredentialDataDecryptedObject): string {
	const root = readBaseUrl(baseUrl);
	if (root === undefined)
		throw new UserError(`"${String(baseUrl ?? '')}" is no Base URL. ${PLAIN_ADDRESS}`);
	return root;
}

function notTheApi(data: ICredentialDataDecryptedObject, status: number, body: unknown): UserError {
	const answered = `${rootOf(data)} answers (status ${status}), but is not Email Sender's API.`;
	const isPage = typeof body === 'string' && /<(!doctype|html)/i.test(body);
	return new UserError(
		isPage
			? `${answered} It shows a page: that is the console, most likely. The API has an address of its own, by default with port 8400 where the console has 8401.`
			: `${answered} ${PLAIN_ADDRESS}`,
	);
}

function readJson(body: unknown): unknown {
	if (typeof body !== 'string') return body;
	try {
		return JSON.parse(body);
	} catch {
		return body;
	}
}
