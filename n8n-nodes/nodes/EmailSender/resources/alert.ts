import type { IDataObject, INodeProperties } from 'n8n-workflow';
import { byId, inParts, pages, send } from '../shared/calls';
import { labelsOf, readJsonObject } from '../shared/json';
import type { Operation, Resource } from '../shared/operation';
import { asNumber, asText } from '../shared/values';

const id = 'The ID of the alert, as the list of alerts tells it';

const text: INodeProperties = {
	displayName: 'Text',
	name: 'text',
	type: 'string',
	default: '',
	placeholder: 'I see to it',
	description: 'What is written down with it',
};

const matchers: INodeProperties = {
	displayName: 'Labels',
	name: 'matchers',
	type: 'string',
	default: '',
	placeholder: 'team="db",zone!="test"',
	description: 'Only alerts with these labels, written as Alertmanager writes matchers',
};

export const severities = [
	{ name: 'Critical', value: 'critical' },
	{ name: 'Info', value: 'info' },
	{ name: 'Warning', value: 'warning' },
];

const severity: INodeProperties = {
	displayName: 'Severity',
	name: 'severity',
	type: 'options',
	options: severities,
	default: 'critical',
	description: 'Only alerts of this severity',
};

const beat: Operation = {
	name: 'Send Heartbeat',
	route: 'POST /api/v1/heartbeats',
	action: 'Send a heartbeat',
	description: 'Let a signal come that an alert rule waits for',
	body: ['name'],
	fields: [
		{
			displayName: 'Signal',
			name: 'name',
			type: 'string',
			default: '',
			required: true,
			placeholder: 'nightly-backup',
			description: 'The name of the signal, as the rule has it',
		},
	],
	async execute(context, item, api) {
		const place = { context, item, label: 'Signal', written: undefined };
		const name = asText(place, context.getNodeParameter('name', item)).trim();
		await api.objectOrNothing({ route: beat.route, body: { name } });
		return [{ name }];
	},
};

const raise: Operation = {
	route: 'POST /api/v1/alerts',
	action: 'Raise an alert',
	description: 'Have an alert fire that no rule looks for, or say again that it does',
	body: ['name', 'severity', 'summary', 'labels', 'lasts_seconds'],
	fields: [
		{
			displayName: 'Name',
			name: 'name',
			type: 'string',
			default: '',
			required: true,
			placeholder: 'Import stands still',
			description: 'With the labels it says which alert it is',
		},
		{
			displayName: 'Severity',
			name: 'severity',
			type: 'options',
			options: severities,
			default: 'warning',
			description: 'How bad it is',
		},
		{
			displayName: 'Summary',
			name: 'summary',
			type: 'string',
			default: '',
			placeholder: 'Nothing came since nine',
			description: 'What people are told',
		},
		{
			displayName: 'Labels',
			name: 'labels',
			type: 'json',
			default: '{}',
			placeholder: '{"team": "data"}',
			description: 'What tells this alert from others of the name, and where it goes',
		},
		{
			displayName: 'Lasts (Seconds)',
			name: 'lastsSeconds',
			type: 'number',
			default: 0,
			typeOptions: { minValue: 0, maxValue: 2678400 },
			description: 'It is over then unless it is raised again; 0: until somebody resolves it',
		},
	],
	async execute(context, item, api) {
		const place = (label: string) => ({ context, item, label, written: undefined });
		const read = (name: string) => context.getNodeParameter(name, item);
		const lasts = asNumber(place('Lasts (Seconds)'), read('lastsSeconds'));
		const body: IDataObject = {
			name: asText(place('Name'), read('name')).trim(),
			severity: read('severity'),
			summary: asText(place('Summary'), read('summary')),
			labels: labelsOf(readJsonObject(context, item, 'Labels', read('labels'))),
		};
		if (lasts) body.lasts_seconds = lasts;
		return [await api.object({ route: raise.route, body })];
	},
};

export const alert: Resource = {
	name: 'Alert',
	value: 'alert',
	default: 'list',
	operations: {
		acknowledge: send({
			route: 'POST /api/v1/alerts/{alert_id}/acknowledge',
			action: 'Acknowledge an alert',
			description: 'Say that somebody sees to an alert',
			id,
			fields: [text],
		}),
		acknowledgeMany: inParts({
			route: 'POST /api/v1/alerts/acknowledge',
			action: 'Acknowledge many alerts',
			description: 'Say of all alerts that fire, or of those that filters leave, that somebody sees to them',
			fields: [],
			filters: [matchers, severity],
			sums: ['acknowledged'],
		}),
		assign: send({
			route: 'POST /api/v1/alerts/{alert_id}/assign',
			action: 'Assign an alert',
			description: 'Say who sees to an alert',
			id,
			fields: [
				{
					displayName: 'Assignee',
					name: 'assignee',
					type: 'string',
					default: '',
					required: true,
					placeholder: 'ada@example.com',
					description: 'Whom it is assigned to; an empty expression takes it from whoever has it',
				},
			],
			convert: { assignee: (value, place) => asText(place, value).trim() || null },
		}),
		beat,
		comment: send({
			route: 'POST /api/v1/alerts/{alert_id}/comments',
			action: 'Comment an alert',
			description: 'Write something down with an alert',
			id,
			fields: [{ ...text, required: true, placeholder: 'A disk was full' }],
		}),
		get: byId({
			route: 'GET /api/v1/alerts/{alert_id}',
			action: 'Get an alert',
			description: 'Get an alert and what happened to it',
			id,
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/alerts',
			action: 'Get many alerts',
			description: 'Get many alerts, newest first',
			filters: [
				matchers,
				severity,
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: [
						{ name: 'Firing', value: 'firing' },
						{ name: 'Over', value: 'over' },
						{ name: 'Waiting', value: 'waiting' },
					],
					default: 'firing',
					description: 'Only alerts in this state',
				},
			],
		}),
		raise,
		resolve: send({
			route: 'POST /api/v1/alerts/{alert_id}/resolve',
			action: 'Resolve an alert',
			description: 'End an alert; a look that finds it again begins another',
			id,
			fields: [text],
		}),
		snooze: send({
			route: 'POST /api/v1/alerts/{alert_id}/snooze',
			action: 'Snooze an alert',
			description: 'Have nobody told of an alert for a while',
			id,
			fields: [
				{
					displayName: 'Seconds',
					name: 'seconds',
					type: 'number',
					default: 3600,
					required: true,
					typeOptions: { minValue: 0, maxValue: 2678400 },
					description: 'For how long; 0: people are told again',
				},
				text,
			],
		}),
	},
};
