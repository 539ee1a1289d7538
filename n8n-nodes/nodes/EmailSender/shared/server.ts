/** Where Email Sender is, and what to do when it cannot be reached or is something else: said alike by node and credentials. */

export const API_ROOT = '/api/v1';

/** What an address has to look like. */
export const PLAIN_ADDRESS =
	'Expected something like https://email.example.com: the address of the API as n8n reaches it.';

/** The address without what people paste along with it, or undefined when it is no http(s) address. */
export function readBaseUrl(value: unknown): string | undefined {
	const url = String(value ?? '')
		.trim()
		.replace(/\/+$/, '')
		.replace(/\/api(\/v1)?$/, '')
		.replace(/\/+$/, '');
	return /^https?:\/\/[^/?#\s]+(\/[^?#\s]*)?$/.test(url) ? url : undefined;
}

/** Trust in a certificate authority of one's own, for requests to this server only. */
export function trust(caCertificate: unknown): { agentOptions?: { ca: string } } {
	const ca = typeof caCertificate === 'string' ? caCertificate.trim() : '';
	// A pasted certificate may have lost its line ends to a field of one line.
	const lines = ca.replace(/(-----(?:BEGIN|END) [A-Z ]+-----)/g, '\n$1\n').replace(/\\n/g, '\n');
	return ca ? { agentOptions: { ca: lines.trim().replace(/\n{2,}/g, '\n') } } : {};
}

const BROKEN = [
	'ECONNABORTED',
	'ECONNREFUSED',
	'ECONNRESET',
	'EAI_AGAIN',
	'EHOSTUNREACH',
	'ENETUNREACH',
	'EPIPE',
	'ERR_BAD_RESPONSE',
	'ETIMEDOUT',
	'UND_ERR_SOCKET',
];

/** The code of the system or of TLS for a request without an answer, wherever n8n has put it. */
export function connectionCode(error: unknown): string | undefined {
	for (let one = error, depth = 0; one && typeof one === 'object' && depth < 5; depth++) {
		const { code, httpCode, cause } = one as Record<string, unknown>;
		for (const found of [code, httpCode]) {
			if (typeof found === 'string' && /^[A-Z][A-Z0-9_]+$/.test(found)) return found;
		}
		one = cause ?? (one as { error?: unknown }).error;
	}
	const said = error instanceof Error ? error.message : '';
	if (/socket hang up|aborted/i.test(said)) return 'ECONNRESET';
	return /\b(?:E[A-Z]{4,}|[A-Z]+(?:_[A-Z]+){2,})\b/.exec(said)?.[0];
}

/** Whether asking again may help: the connection broke, or never came about. */
export function isBroken(code: string | undefined): boolean {
	return code !== undefined && BROKEN.includes(code);
}

/** The next step for a request without an answer. */
export function adviceFor(code: string | undefined): string | undefined {
	if (code === undefined) return undefined;
	if (/CERT|SELF_SIGNED|ISSUER|LEAF_SIGNATURE/.test(code)) {
		return code === 'CERT_HAS_EXPIRED'
			? 'The certificate of Email Sender has expired: renew it there.'
			: code === 'ERR_TLS_CERT_ALTNAME_INVALID'
				? 'The certificate is for another name: use the name that stands in it as Base URL.'
				: 'n8n does not trust the certificate: paste the certificate of your authority into "CA Certificate" of the credential.';
	}
	if (/SSL|TLS|EPROTO/.test(code)) {
		return 'Email Sender does not speak TLS there: the Base URL may have to begin with http:// instead of https://.';
	}
	if (code === 'ECONNREFUSED') {
		return 'Nothing listens there. In a container 127.0.0.1 and localhost are the container itself: use the name of the service (http://email-sender:8400), or http://host.docker.internal:8400 for the machine around it.';
	}
	if (code === 'ENOTFOUND') {
		return 'No machine has that name where n8n runs. Without a container, Email Sender on the same machine is http://127.0.0.1:8400.';
	}
	return isBroken(code)
		? 'Check that Email Sender runs, and that nothing between it and n8n cuts the connection.'
		: undefined;
}

/** The next step for a 401. */
export const UNAUTHORIZED =
	'Email Sender does not accept this credential: it is unknown, revoked or expired. Make a new key under API keys, or a new secret under API clients, in the console, and paste it into the credential.';
