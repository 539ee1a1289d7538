/** What an event looks like, for whoever builds a workflow before anything has happened. */
import type { IDataObject } from 'n8n-workflow';

const ID = '01a2238e-0c5e-7c1f-8a3e-5d2f6b7c8d9e';

/** An event as the API tells it. */
export interface Told extends IDataObject {
	id: string;
	seq: number;
	kind: string;
	subject: string;
	at: string;
	actor: string;
	data: IDataObject;
}

const LATER = '2026-01-01T10:00:00+00:00';

const [name, operator, value] = ['team', '=', 'data'];
const HUSHED = { matchers: [{ name, operator, value }], starts_at: LATER, ends_at: LATER };

/** What is told beside the kind and the subject: of all kinds of a noun, or of one. */
const DATA: Record<string, IDataObject> = {
	alert: {
		rule: null,
		name: 'Import stands still',
		severity: 'critical',
		labels: { team: 'data' },
	},
	email: { recipients: { accepted: 2, bounced: 1 } },
	'email.delayed': {},
	'email.queued': { business_key: 'order-4711' },
	incident: { title: 'The import stands still', severity: 'critical' },
	job: { kind: 'http.request', subject: null, attempt: 1 },
	job_graph: { name: 'Nightly', total: 3, succeeded: 2, failed: 1, cancelled: 0, skipped: 0 },
	job_schedule: { name: 'Nightly', due_at: '2026-01-01T08:00:00+00:00', until: LATER, times: 2 },
	key: { name: 'orders', version: 2 },
	'key.changed': { name: 'orders', changed: ['rotate_days'] },
	'key.created': { name: 'orders', type: 'aes256-gcm' },
	maintenance: { kind: 'maintenance', ...HUSHED },
	quota: { limit: 1000, used: 800, resets_at: LATER },
	secret: { path: '/shop/db', environment: 'production', version: 2, expires_at: LATER },
	secret_token: { secret_id: ID },
	silence: { kind: 'silence', ...HUSHED },
	suppression: { address: 'ada@example.com', reason: 'bounce' },
	'suppression.imported': { added: 12, known: 3 },
	webhook: { name: 'Orders', why: 'It answered 410 Gone' },
};

/** An event of a kind that never was. */
export function sampleOf(kind: string): Told {
	const [noun] = kind.split('.');
	return {
		id: '01a2238e-0c60-7d52-9b1a-2f3e4d5c6b7a',
		seq: 1,
		kind,
		subject: `${noun}:${ID}`,
		at: '2026-01-01T09:00:00+00:00',
		actor: 'system:alerting',
		data: DATA[kind] ?? DATA[noun] ?? {},
	};
}

/** An event as an item, with the ID of what it is about, which other nodes ask for. */
export function itemOf(event: Told): IDataObject {
	return { ...event, subject_id: event.subject.slice(event.subject.indexOf(':') + 1) };
}
