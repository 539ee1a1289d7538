import type { IDataObject } from 'n8n-workflow';
import { byId, pages, send } from '../shared/calls';
import { readJson } from '../shared/json';
import type { Resource } from '../shared/operation';

const id = 'The ID of the graph, as submitting it tells';

const states = ['Cancelled', 'Failed', 'Running', 'Succeeded'].map((name) => ({
	name,
	value: name.toLowerCase(),
}));

const example = `[
  { "name": "fetch", "kind": "http.request", "args": { "url": "https://api.example.com/orders" } },
  { "name": "tell", "kind": "http.request", "depends_on": ["fetch"],
    "args": { "method": "POST", "url": "https://chat.example.com/hook", "body": { "text": "Done" } } }
]`;

export const jobGraph: Resource = {
	name: 'Job Graph',
	value: 'jobGraph',
	default: 'submit',
	operations: {
		cancel: byId({
			route: 'POST /api/v1/job-graphs/{graph_id}/cancel',
			action: 'Cancel a job graph',
			description: 'Cancel what waits, and ask what runs to stop',
			id,
		}),
		get: byId({
			route: 'GET /api/v1/job-graphs/{graph_id}',
			action: 'Get a job graph',
			description: 'Get how far a graph of jobs is',
			id,
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/job-graphs',
			action: 'Get many job graphs',
			description: 'Get many graphs of jobs, newest first',
			filters: [
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: states,
					default: 'running',
					description: 'Only graphs in this state',
				},
			],
		}),
		pause: byId({
			route: 'POST /api/v1/job-graphs/{graph_id}/pause',
			action: 'Pause a job graph',
			description: 'Start no more of its jobs; those that run go on',
			id,
		}),
		resume: byId({
			route: 'POST /api/v1/job-graphs/{graph_id}/resume',
			action: 'Resume a job graph',
			description: 'Go on with a graph that was paused',
			id,
		}),
		retry: send({
			route: 'POST /api/v1/job-graphs/{graph_id}/retry',
			action: 'Retry a job graph',
			description: 'Start again what did not succeed',
			id,
			fields: [
				{
					displayName: 'Job ID',
					name: 'jobId',
					type: 'string',
					default: '',
					description: 'Only this one and what waits for it. Empty: all that did not succeed.',
				},
			],
		}),
		submit: send({
			route: 'POST /api/v1/job-graphs',
			action: 'Submit a job graph',
			description: 'Submit jobs that wait for each other; all of them, or none',
			fields: [
				{
					displayName: 'Name',
					name: 'name',
					type: 'string',
					default: '',
					required: true,
					placeholder: "Month's end",
					description: 'What people call it',
				},
				{
					displayName: 'Tasks',
					name: 'tasks',
					type: 'json',
					default: example,
					required: true,
					description:
						'A list of tasks: name, kind, args, depends_on, runs_on (success, failure, always), condition, foreach, grows',
				},
				{
					displayName: 'Additional Fields',
					name: 'additionalFields',
					type: 'collection',
					placeholder: 'Add Field',
					default: {},
					options: [
						{
							displayName: 'Dedup Key',
							name: 'dedupKey',
							type: 'string',
							default: '={{ $execution.id }}',
							description: 'One graph has it; submitting it again gives that one',
						},
					],
				},
			],
			convert: {
				tasks: (value, { context, item, label }) =>
					readJson(context, item, label, value) as IDataObject,
			},
		}),
	},
};
