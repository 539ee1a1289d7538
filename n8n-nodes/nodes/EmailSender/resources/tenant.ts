import { ask } from '../shared/calls';
import type { Resource } from '../shared/operation';

export const tenant: Resource = {
	name: 'Tenant',
	value: 'tenant',
	default: 'get',
	operations: {
		get: ask({
			route: 'GET /api/v1/me',
			action: 'Get the tenant',
			description: 'Get the tenant of the credential, and what the credential may do there',
		}),
		quotas: ask({
			name: 'Get Quotas',
			route: 'GET /api/v1/quotas',
			action: 'Get the quotas of the tenant',
			description: 'Get each quota with its limit, what is used of it, and when it begins anew',
		}),
		usage: ask({
			name: 'Get Usage',
			route: 'GET /api/v1/usage',
			action: 'Get the usage of the tenant',
			description: 'Get requests, e-mails and jobs by day, and how much there is now',
			filters: [
				{
					displayName: 'From',
					name: 'from',
					type: 'string',
					default: '',
					placeholder: '2026-11-01',
					description: 'First day, in UTC; 29 days before the last one when left out',
				},
				{
					displayName: 'To',
					name: 'to',
					type: 'string',
					default: '',
					placeholder: '2026-11-30',
					description: 'Last day, in UTC; today when left out',
				},
			],
		}),
	},
};
