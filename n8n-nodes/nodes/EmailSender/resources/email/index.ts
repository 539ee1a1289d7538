import { byId, pages } from '../../shared/calls';
import type { Resource } from '../../shared/operation';
import { ONE_EMAIL, sendEmail } from './send';
import { sendBatch } from './sendBatch';

export const email: Resource = {
	name: 'Email',
	value: 'email',
	default: 'send',
	operations: {
		get: byId({
			route: ONE_EMAIL,
			action: 'Get an email',
			description: 'Get an e-mail with the state of each recipient and its timeline',
			id: 'The ID that Send or Get Many gave',
		}),
		list: pages({
			name: 'Get Many',
			route: 'GET /api/v1/emails',
			action: 'Get many emails',
			description: 'Get many e-mails, newest first',
			filters: [
				{
					displayName: 'Recipient',
					name: 'recipient',
					type: 'string',
					default: '',
					placeholder: 'ada@example.com',
					description:
						'Only e-mails to this address, whether as To, CC or BCC. With an asterisk at its end: to all that begin so.',
				},
				{
					displayName: 'State',
					name: 'state',
					type: 'options',
					options: [
						{ name: 'Accepted', value: 'accepted' },
						{ name: 'Bounced', value: 'bounced' },
						{ name: 'Cancelled', value: 'cancelled' },
						{ name: 'Deferred', value: 'deferred' },
						{ name: 'Partial', value: 'partial' },
						{ name: 'Queued', value: 'queued' },
						{ name: 'Sending', value: 'sending' },
						{ name: 'Suppressed', value: 'suppressed' },
					],
					default: 'accepted',
					description: 'Only e-mails in this state',
				},
			],
		}),
		send: sendEmail,
		sendBatch,
	},
};
