import type { INodeProperties } from 'n8n-workflow';
import { ask, byId, pages } from '../shared/calls';
import type { Resource } from '../shared/operation';

const window = (name: string, displayName: string, maxValue: number, preset: number): INodeProperties => ({
	displayName,
	name,
	type: 'number',
	typeOptions: { minValue: 1, maxValue },
	default: preset,
	description: 'How far back, 90 days at most',
});

export const health: Resource = {
	name: 'Health',
	value: 'health',
	default: 'verdict',
	operations: {
		objective: byId({
			name: 'Get Objective',
			route: 'GET /api/v1/slos/{slo_id}',
			action: 'Get an objective',
			description: 'Get how an objective stands: its budget, how fast it burns, and its days',
			id: 'The ID of the objective, as Get Many Objectives gives it',
		}),
		objectives: pages({
			name: 'Get Many Objectives',
			route: 'GET /api/v1/slos',
			action: 'Get many objectives',
			description: 'Get many objectives, each with what is left of its error budget',
		}),
		status: ask({
			name: 'Get Status',
			route: 'GET /api/v1/status',
			action: 'Get the status of the platform',
			description: 'Get whether the platform is ready, its uptime, and what failed since when',
			filters: [window('hours', 'Hours', 2160, 24)],
		}),
		verdict: ask({
			name: 'Get Verdict',
			route: 'GET /api/v1/overview',
			action: 'Get the verdict',
			description: 'Get in one sentence how the tenant is doing, with the cause when it is not well',
			filters: [window('minutes', 'Minutes', 129600, 15)],
		}),
	},
};
