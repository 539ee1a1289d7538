import { byId, pages, send } from '../shared/calls';
import type { Resource } from '../shared/operation';

export const suppression: Resource = {
	name: 'Suppression',
	value: 'suppression',
	default: 'list',
	operations: {
		add: send({
			route: 'POST /api/v1/suppressions',
			action: 'Add a suppression',
			description: 'Never send to an address again',
			fields: [
				{
					displayName: 'Address',
					name: 'address',
					type: 'string',
					default: '',
					required: true,
					placeholder: 'ada@example.com',
				},
				{
					displayName: 'Comment',
					name: 'comment',
					type: 'string',
					default: '',
					description: 'Why, for whoever looks at the list later',
				},
				{
					displayName: 'Expires At',
					name: 'expiresAt',
					type: 'dateTime',
					default: '',
					description: 'When the address may be mailed again; leave empty for never',
				},
			],
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/suppressions',
			action: 'Get many suppressions',
			description: 'Get many suppressed addresses, newest first',
			filters: [
				{
					displayName: 'Address',
					name: 'address',
					type: 'string',
					default: '',
					placeholder: 'ada@example.com',
					description: 'Only this address, or those that begin so when it ends in *',
				},
				{
					displayName: 'Reason',
					name: 'reason',
					type: 'options',
					options: [
						{ name: 'Hard Bounce', value: 'hard_bounce' },
						{ name: 'Import', value: 'import' },
						{ name: 'Manual', value: 'manual' },
					],
					default: 'manual',
					description: 'Only addresses that came onto the list this way',
				},
			],
		}),
		remove: byId({
			route: 'DELETE /api/v1/suppressions/{suppression_id}',
			action: 'Remove a suppression',
			description: 'Let an address be sent to again',
			id: 'The ID that Add or Get Many gave',
		}),
	},
};
