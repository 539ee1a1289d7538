import type { IDataObject, INodeProperties } from 'n8n-workflow';
import { byId, pages, send } from '../shared/calls';
import type { Operation, Resource } from '../shared/operation';
import { asText } from '../shared/values';
import { severities } from './alert';

const id = 'The ID of the incident, as the list of incidents tells it';

const words: INodeProperties[] = [
	['Cause', 'cause', 'Why it happened'],
	['Follow Up', 'followUp', 'What is done so that it does not happen again'],
	['Lead', 'lead', 'Who leads: user: and an ID'],
	['Summary', 'summary', 'What happened, and whom it met'],
].map(([displayName, name, description]) => ({
	displayName,
	name,
	type: 'string',
	default: '',
	description,
}));

const title: INodeProperties = {
	displayName: 'Title',
	name: 'title',
	type: 'string',
	default: '',
	placeholder: 'The import stands still',
	description: 'What people call it',
};

const severity: INodeProperties = {
	displayName: 'Severity',
	name: 'severity',
	type: 'options',
	options: severities,
	default: 'critical',
	description: 'How bad it is',
};

const alertIds: INodeProperties = {
	displayName: 'Alert IDs',
	name: 'alertIds',
	type: 'string',
	default: '',
	placeholder: '={{ $json.subject_id }}',
	description: 'IDs of alerts that are part of it, separated by commas',
};

/** IDs as people write them, or as an expression gives them. */
function readIds(value: unknown): string[] {
	const given = Array.isArray(value) ? value.map(String) : String(value ?? '').split(/[\s,;]+/);
	return given.map((one) => one.trim()).filter(Boolean);
}

/** Sends all of it, and what nobody asks to change as it is: the API takes the whole of an incident. */
const update: Operation = {
	route: 'PUT /api/v1/incidents/{incident_id}',
	action: 'Update an incident',
	description: 'Change what is said of an incident',
	lookup: { route: 'GET /api/v1/incidents/{incident_id}', query: [] },
	body: ['title', 'severity', 'lead', 'summary', 'cause', 'follow_up'],
	fields: [
		{
			displayName: 'Incident ID',
			name: 'incidentId',
			type: 'string',
			default: '',
			required: true,
			placeholder: 'e.g. 0199c2a4-6f3e-7c1b-9d52-3f1f0c6b8a11',
			description: id,
		},
		{
			displayName: 'Update Fields',
			name: 'updateFields',
			type: 'collection',
			placeholder: 'Add Field',
			default: {},
			options: [...words.slice(0, 3), severity, words[3], title],
		},
	],
	async execute(context, item, api) {
		const place = (label: string) => ({ context, item, label, written: undefined });
		const incidentId = asText(
			place('Incident ID'),
			context.getNodeParameter('incidentId', item),
		).trim();
		const params = { incident_id: incidentId };
		const given = context.getNodeParameter('updateFields', item) as IDataObject;
		const found = await api.object({ route: 'GET /api/v1/incidents/{incident_id}', params });
		const read = (name: string, was: string) =>
			name in given ? asText(place(name), given[name]) : found[was];
		const body: IDataObject = {
			title: read('title', 'title'),
			severity: read('severity', 'severity'),
			lead: read('lead', 'lead') || null,
			summary: read('summary', 'summary'),
			cause: read('cause', 'cause'),
			follow_up: read('followUp', 'follow_up'),
		};
		// Of what somebody else changes meanwhile nothing is undone.
		const headers = { 'If-Match': `"${String(found.version)}"` };
		return [await api.object({ route: update.route, params, body, headers })];
	},
};

export const incident: Resource = {
	name: 'Incident',
	value: 'incident',
	default: 'list',
	operations: {
		acknowledge: byId({
			route: 'POST /api/v1/incidents/{incident_id}/acknowledge',
			action: 'Acknowledge an incident',
			description: 'Say of all alerts of an incident that somebody sees to them',
			id,
		}),
		addAlerts: send({
			route: 'POST /api/v1/incidents/{incident_id}/alerts',
			action: 'Add alerts to an incident',
			description: 'Make alerts part of an incident',
			id,
			fields: [{ ...alertIds, required: true }],
			convert: { alertIds: readIds },
		}),
		comment: send({
			route: 'POST /api/v1/incidents/{incident_id}/comments',
			action: 'Comment an incident',
			description: 'Write something down with an incident',
			id,
			fields: [
				{
					displayName: 'Text',
					name: 'text',
					type: 'string',
					default: '',
					required: true,
					placeholder: 'A disk was full',
					description: 'What is written down with it',
				},
			],
		}),
		create: send({
			route: 'POST /api/v1/incidents',
			action: 'Create an incident',
			description: 'Open an incident, with alerts that are part of it',
			fields: [
				{ ...title, required: true },
				{ ...severity, required: true },
				{
					displayName: 'Additional Fields',
					name: 'additionalFields',
					type: 'collection',
					placeholder: 'Add Field',
					default: {},
					options: [alertIds, ...words],
				},
			],
			convert: { alertIds: readIds },
		}),
		get: byId({
			route: 'GET /api/v1/incidents/{incident_id}',
			action: 'Get an incident',
			description: 'Get an incident with its alerts and all that happened',
			id,
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/incidents',
			action: 'Get many incidents',
			description: 'Get many incidents, newest first',
			filters: [
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: [
						{ name: 'Open', value: 'open' },
						{ name: 'Over', value: 'over' },
					],
					default: 'open',
					description: 'Only incidents in this state',
				},
			],
		}),
		resolve: send({
			route: 'POST /api/v1/incidents/{incident_id}/resolve',
			action: 'Resolve an incident',
			description: 'End an incident',
			id,
			fields: [
				{
					displayName: 'Text',
					name: 'text',
					type: 'string',
					default: '',
					placeholder: 'The disk is empty again',
					description: 'What is written down with it',
				},
			],
		}),
		update,
	},
};
