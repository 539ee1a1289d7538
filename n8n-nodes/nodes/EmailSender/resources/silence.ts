import type { INodeProperties } from 'n8n-workflow';
import { byId, pages, send } from '../shared/calls';
import type { Resource } from '../shared/operation';

const matchers: INodeProperties = {
	displayName: 'Labels',
	name: 'matchers',
	type: 'string',
	default: '',
	placeholder: 'team="db",zone!="test"',
};

export const silence: Resource = {
	name: 'Silence',
	value: 'silence',
	default: 'list',
	operations: {
		create: send({
			route: 'POST /api/v1/silences',
			action: 'Create a silence',
			description: 'Have nobody told of some alerts for a while',
			fields: [
				{
					...matchers,
					required: true,
					description:
						'Alerts with all of these labels, written as Alertmanager writes matchers; one asks for a label that is there',
				},
				{
					displayName: 'Ends At',
					name: 'endsAt',
					type: 'dateTime',
					default: '',
					required: true,
					description: 'When it is over, a year after its beginning at most',
				},
				{
					displayName: 'Reason',
					name: 'reason',
					type: 'string',
					default: '',
					required: true,
					placeholder: 'The database moves',
					description: 'Why, for whoever wonders why nobody was told',
				},
				{
					displayName: 'Additional Fields',
					name: 'additionalFields',
					type: 'collection',
					placeholder: 'Add Field',
					default: {},
					options: [
						{
							displayName: 'Announce Hours',
							name: 'announceHours',
							type: 'number',
							typeOptions: { minValue: 0, maxValue: 168 },
							default: 24,
							description: 'How long before it begins maintenance is announced',
						},
						{
							displayName: 'Kind',
							name: 'kind',
							type: 'options',
							options: [
								{ name: 'Maintenance', value: 'maintenance' },
								{ name: 'Silence', value: 'silence' },
							],
							default: 'silence',
							description: 'Maintenance is announced before it begins',
						},
						{
							displayName: 'Starts At',
							name: 'startsAt',
							type: 'dateTime',
							default: '',
							description: 'When it begins; leave empty for now',
						},
					],
				},
			],
		}),
		expire: byId({
			route: 'POST /api/v1/silences/{silence_id}/expire',
			action: 'Expire a silence',
			description: 'End a silence now; it stays as history',
			id: 'The ID that Create or Get Many gave',
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/silences',
			action: 'Get many silences',
			description: 'Get many silences, newest first',
			filters: [
				{
					...matchers,
					description: 'Only silences whose own matchers say this',
				},
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: [
						{ name: 'Active', value: 'active' },
						{ name: 'Expired', value: 'expired' },
						{ name: 'Scheduled', value: 'scheduled' },
					],
					default: 'active',
					description: 'Only silences in this state',
				},
			],
		}),
	},
};
