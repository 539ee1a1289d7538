import type { INodeProperties } from 'n8n-workflow';
import { byId, createdBetween, inParts, pages, send, until } from '../shared/calls';
import type { Resource } from '../shared/operation';

const id = 'The ID of the job; an e-mail names its own as job_id';

const kind: INodeProperties = {
	displayName: 'Kind',
	name: 'kind',
	type: 'string',
	default: '',
	placeholder: 'email.send',
	description: 'Only jobs of this kind',
};

const graph: INodeProperties = {
	displayName: 'Graph ID',
	name: 'graph_id',
	type: 'string',
	default: '',
	description: 'Only jobs of this graph',
};

const subject: INodeProperties = {
	displayName: 'Subject',
	name: 'subject',
	type: 'string',
	default: '',
	placeholder: 'email:0192f7a4-3c1e-7a40-9d0e-5b7c2f4e8a11',
	description: 'Only jobs about this, as noun:ID',
};

const error: INodeProperties = {
	displayName: 'Error',
	name: 'error',
	type: 'string',
	default: '',
	placeholder: 'It answered 503',
	description: 'Only jobs whose last attempt failed so: the first line of why',
};

const OVER = ['succeeded', 'dead', 'cancelled', 'skipped'];

const args: INodeProperties = {
	displayName: 'Args',
	name: 'args',
	type: 'json',
	default: '{ "method": "POST", "url": "https://api.example.com/orders" }',
	description: 'What its kind takes, as JSON. Operators see it: no secrets.',
};

export const job: Resource = {
	name: 'Job',
	value: 'job',
	default: 'get',
	operations: {
		cancel: byId({
			route: 'POST /api/v1/jobs/{job_id}/cancel',
			action: 'Cancel a job',
			description: 'Cancel a job that has not finished',
			id,
		}),
		cancelMany: inParts({
			route: 'POST /api/v1/jobs/cancel',
			action: 'Cancel many jobs',
			description: 'Cancel all jobs that wait or run, or those that filters leave',
			fields: [
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: [
						{ name: 'Awaiting', value: 'awaiting', description: 'Those that wait for an answer' },
						{ name: 'Blocked', value: 'blocked', description: 'Those that wait for other jobs' },
						{ name: 'Ready', value: 'ready', description: 'Those that wait for a worker or a time' },
						{ name: 'Running', value: 'running', description: 'These are asked to stop' },
					],
					default: 'ready',
				},
			],
			filters: [...createdBetween, error, graph, kind, subject],
			sums: ['cancelled', 'asked'],
		}),
		get: byId({
			route: 'GET /api/v1/jobs/{job_id}',
			action: 'Get a job',
			description: 'Get the state of a job',
			id,
		}),
		getAttempts: byId({
			route: 'GET /api/v1/jobs/{job_id}/attempts',
			action: 'Get the attempts at a job',
			description: 'Get what became of the latest attempts at a job, the newest first',
			id,
			isList: true,
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/jobs',
			action: 'Get many jobs',
			description: 'Get many jobs, newest first',
			filters: [
				...createdBetween,
				graph,
				kind,
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: [
						{ name: 'Awaiting', value: 'awaiting' },
						{ name: 'Blocked', value: 'blocked' },
						{ name: 'Cancelled', value: 'cancelled' },
						{ name: 'Dead', value: 'dead' },
						{ name: 'Ready', value: 'ready' },
						{ name: 'Running', value: 'running' },
						{ name: 'Skipped', value: 'skipped' },
						{ name: 'Succeeded', value: 'succeeded' },
					],
					default: 'dead',
					description: 'Only jobs in this state',
				},
				subject,
			],
		}),
		retry: send({
			route: 'POST /api/v1/jobs/{job_id}/retry',
			action: 'Retry a job',
			description: 'Run a dead or cancelled job once more, as it was or with something else',
			id,
			fields: [
				{
					displayName: 'Additional Fields',
					name: 'additionalFields',
					type: 'collection',
					placeholder: 'Add Field',
					default: {},
					options: [
						{
							...args,
							description:
								'What it is given from now on, all of it, as JSON. Only for kinds that can be submitted.',
						},
					],
				},
			],
		}),
		retryMany: inParts({
			route: 'POST /api/v1/jobs/retry',
			action: 'Retry many jobs',
			description: 'Run all dead or all cancelled jobs once more, or those that filters leave',
			fields: [
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: [
						{ name: 'Cancelled', value: 'cancelled' },
						{
							name: 'Dead',
							value: 'dead',
							description: 'Those that gave up; the job of a bounced e-mail is dead',
						},
					],
					default: 'dead',
				},
			],
			filters: [...createdBetween, error, graph, kind, subject],
			sums: ['retried', 'refused'],
		}),
		submit: send({
			route: 'POST /api/v1/jobs',
			action: 'Submit a job',
			description: 'Submit one job, which runs some time later and is tried again if it fails',
			fields: [
				{
					...kind,
					default: 'http.request',
					required: true,
					placeholder: 'http.request',
					description: 'What is to be done: one of GET /api/v1/job-kinds',
				},
				{ ...args, required: true },
				{
					displayName: 'Additional Fields',
					name: 'additionalFields',
					type: 'collection',
					placeholder: 'Add Field',
					default: {},
					options: [
						{
							displayName: 'Backoff (Seconds)',
							name: 'backoffSeconds',
							type: 'number',
							default: 1,
							description: 'Wait after the first failure; it doubles with each',
						},
						{
							displayName: 'Dedup Key',
							name: 'dedupKey',
							type: 'string',
							default: '={{ $execution.id }}',
							description: 'One job of its kind has it; submitting it again gives that one',
						},
						{
							displayName: 'Delay (Seconds)',
							name: 'delaySeconds',
							type: 'number',
							default: 0,
							description: 'It does not start before',
						},
						{
							displayName: 'Max Attempts',
							name: 'maxAttempts',
							type: 'number',
							default: 5,
							description: 'So many failures, and it is dead',
						},
						{
							displayName: 'Priority',
							name: 'priority',
							type: 'number',
							default: 0,
							description: 'Higher starts earlier, from -100 to 100',
						},
						{
							displayName: 'Timeout (Seconds)',
							name: 'timeoutSeconds',
							type: 'number',
							default: 60,
							description: 'What one attempt may take',
						},
					],
				},
			],
		}),
		wait: until({
			route: 'GET /api/v1/jobs/{job_id}',
			action: 'Wait for a job',
			description: 'Wait until a job has ended, and get it with its result or why it failed',
			id,
			isOver: ({ state }) => OVER.includes(String(state)),
			seconds: 300,
		}),
	},
};
