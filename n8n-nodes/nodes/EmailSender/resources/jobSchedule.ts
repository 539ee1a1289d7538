import type { IDataObject } from 'n8n-workflow';
import { byId, pages, send, type Convert } from '../shared/calls';
import { readJson } from '../shared/json';
import type { Resource } from '../shared/operation';

const id = 'The ID of the schedule, as creating it tells';

const timing = `{ "type": "cron", "expression": "30 2 * * mon-fri", "zone": "Europe/Paris",
  "skipped": "shift", "repeated": "first" }`;

const graph = `{ "name": "Nightly import", "tasks": [
  { "name": "fetch", "kind": "http.request", "args": { "url": "https://api.example.com/orders" } }
] }`;

const json: Convert = (value, { context, item, label }) =>
	readJson(context, item, label, value) as IDataObject;

export const jobSchedule: Resource = {
	name: 'Job Schedule',
	value: 'jobSchedule',
	default: 'list',
	operations: {
		create: send({
			route: 'POST /api/v1/job-schedules',
			action: 'Create a job schedule',
			description: 'Have jobs submitted again and again, or once at a time to come',
			fields: [
				{
					displayName: 'Name',
					name: 'name',
					type: 'string',
					default: '',
					required: true,
					placeholder: 'Nightly import',
					description: 'What people call it; no other schedule has it',
				},
				{
					displayName: 'Timing',
					name: 'timing',
					type: 'json',
					default: timing,
					required: true,
					description:
						'When: type cron (expression, zone, skipped, repeated), interval (seconds, since) or once (at)',
				},
				{
					displayName: 'Graph',
					name: 'graph',
					type: 'json',
					default: graph,
					required: true,
					description: 'What is submitted each time: a name and tasks, as of a job graph',
				},
				{
					displayName: 'Additional Fields',
					name: 'additionalFields',
					type: 'collection',
					placeholder: 'Add Field',
					default: {},
					options: [
						{
							displayName: 'Catch Up',
							name: 'catchUp',
							type: 'options',
							options: [
								{ name: 'All, a Hundred at Most', value: 'all' },
								{ name: 'None', value: 'none' },
								{ name: 'The Last', value: 'last' },
							],
							default: 'last',
							description: 'Which times still run that passed while nobody looked',
						},
						{
							displayName: 'Jitter Seconds',
							name: 'jitterSeconds',
							type: 'number',
							typeOptions: { minValue: 0, maxValue: 3600 },
							default: 0,
							description: 'Up to so much later than due, drawn each time',
						},
						{
							displayName: 'Overlap',
							name: 'overlap',
							type: 'options',
							options: [
								{ name: 'Allow', value: 'allow' },
								{ name: 'Skip', value: 'skip' },
							],
							default: 'skip',
							description: 'Whether it is submitted while the one before still runs',
						},
					],
				},
			],
			convert: { timing: json, graph: json },
		}),
		get: byId({
			route: 'GET /api/v1/job-schedules/{schedule_id}',
			action: 'Get a job schedule',
			description: 'Get what a schedule submits, and when it is due',
			id,
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/job-schedules',
			action: 'Get many job schedules',
			description: 'Get many schedules of jobs, newest first',
		}),
		pause: byId({
			route: 'POST /api/v1/job-schedules/{schedule_id}/pause',
			action: 'Pause a job schedule',
			description: 'Submit nothing more until it is resumed',
			id,
		}),
		resume: byId({
			route: 'POST /api/v1/job-schedules/{schedule_id}/resume',
			action: 'Resume a job schedule',
			description: 'Go on from now',
			id,
		}),
		run: byId({
			route: 'POST /api/v1/job-schedules/{schedule_id}/run',
			name: 'Run Now',
			action: 'Run a job schedule now',
			description: 'Submit what it submits once more, whatever its timing says',
			id,
		}),
	},
};
