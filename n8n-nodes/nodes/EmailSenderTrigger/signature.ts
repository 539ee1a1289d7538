/** Whether a request is from Email Sender, and how the secret that tells is kept. */
import {
	createCipheriv,
	createDecipheriv,
	createHmac,
	hkdfSync,
	randomBytes,
	timingSafeEqual,
} from 'crypto';
import type { ICredentialDataDecryptedObject, IDataObject } from 'n8n-workflow';

/** A request that was on its way for longer is none of ours, or somebody sends it again. */
const MAX_AGE_SECONDS = 300;
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What a request says of its signature (Standard Webhooks). */
export interface Signed {
	id: string;
	at: string;
	signatures: string[];
	/** Which of the secrets signs. */
	keyVersion: number;
}

/** The headers of a signature; undefined where one is missing, or its time is not now. */
export function readSigned(headers: IDataObject, now: number): Signed | undefined {
	const read = (name: string) => String(headers[`webhook-${name}`] ?? '');
	const [id, at, signature] = [read('id'), read('timestamp'), read('signature')];
	if (!id || !signature || !/^\d{1,12}$/.test(at)) return undefined;
	if (Math.abs(now / 1000 - Number(at)) > MAX_AGE_SECONDS) return undefined;
	return { id, at, signatures: signature.split(' '), keyVersion: Number(read('key-id')) };
}

/** HMAC-SHA256 of id, time and body by one of the secrets; of several signatures one has to fit. */
export function isSigned(signed: Signed, body: Buffer, secrets: string[]): boolean {
	const given = signed.signatures
		.filter((one) => one.startsWith('v1,'))
		.map((one) => Buffer.from(one.slice(3), 'base64'));
	return secrets.some((secret) => {
		const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
		if (key.length === 0) return false;
		const wanted = createHmac('sha256', key)
			.update(`${signed.id}.${signed.at}.`)
			.update(body)
			.digest();
		return given.some((one) => one.length === wanted.length && timingSafeEqual(one, wanted));
	});
}

/**
 * Seals a secret for one webhook and credential.
 *
 * n8n keeps what a trigger remembers in the clear, beside the workflow: whoever reads that could start it at will. The
 * credential it keeps encrypted, so the key is made of that.
 */
export function seal(
	secret: string,
	credentials: ICredentialDataDecryptedObject,
	webhookId: string,
): string {
	const nonce = randomBytes(NONCE_BYTES);
	const cipher = createCipheriv(CIPHER, keyOf(credentials, webhookId), nonce);
	const sealed = [nonce, cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()];
	return Buffer.concat(sealed).toString('base64');
}

/** What was sealed; undefined for another credential or webhook. */
export function unseal(
	sealed: string | undefined,
	credentials: ICredentialDataDecryptedObject,
	webhookId: string,
): string | undefined {
	const bytes = Buffer.from(sealed ?? '', 'base64');
	if (bytes.length <= NONCE_BYTES + TAG_BYTES) return undefined;
	const nonce = bytes.subarray(0, NONCE_BYTES);
	const decipher = createDecipheriv(CIPHER, keyOf(credentials, webhookId), nonce);
	decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
	try {
		const opened = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
		return Buffer.concat([opened, decipher.final()]).toString('utf8');
	} catch {
		return undefined;
	}
}

function keyOf(credentials: ICredentialDataDecryptedObject, webhookId: string): Buffer {
	const { apiKey, clientSecret } = credentials;
	const known = String(apiKey || clientSecret || '').trim();
	return Buffer.from(hkdfSync('sha256', known, webhookId, 'n8n-nodes-email-sender trigger', 32));
}
