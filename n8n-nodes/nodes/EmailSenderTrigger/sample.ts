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

const DATA: Record<string, IDataObject> = {
	alert: {
		rule: null,
		name: 'Import stands still',
		severity: 'critical',
		labels: { team: 'data' },
	},
	incident: { title: 'The import stands still', severity: 'critical' },
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
		data: DATA[noun] ?? {},
	};
}

/** An event as an item, with the ID of what it is about, which other nodes ask for. */
export function itemOf(event: Told): IDataObject {
	return { ...event, subject_id: event.subject.slice(event.subject.indexOf(':') + 1) };
}
