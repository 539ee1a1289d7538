import type { INodeProperties } from 'n8n-workflow';
import { byId, createdBetween, inParts, pages } from '../shared/calls';
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
		get: byId({
			route: 'GET /api/v1/jobs/{job_id}',
			action: 'Get a job',
			description: 'Get the state of a job',
			id,
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/jobs',
			action: 'Get many jobs',
			description: 'Get many jobs, newest first',
			filters: [
				...createdBetween,
				kind,
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: [
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
			],
		}),
		retry: byId({
			route: 'POST /api/v1/jobs/{job_id}/retry',
			action: 'Retry a job',
			description: 'Run a dead job once more',
			id,
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
			filters: [...createdBetween, kind],
			sums: ['retried', 'refused'],
		}),
	},
};
