import { businessKey, byId, createdBetween, pages } from '../../shared/calls';
import type { Resource } from '../../shared/operation';
import { sendAndWait } from './approval';
import { ONE_EMAIL, sendEmail } from './send';
import { sendBatch } from './sendBatch';

const EMAILS = 'GET /api/v1/emails';

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
			orBy: {
				route: EMAILS,
				field: businessKey('invoice-2026-0042', 'The key that the e-mail was sent with'),
			},
		}),
		list: pages({
			name: 'Get Many',
			route: EMAILS,
			action: 'Get many emails',
			description: 'Get many e-mails, newest first',
			filters: [
				{
					displayName: 'Business Key',
					name: 'businessKey',
					type: 'string',
					default: '',
					placeholder: 'invoice-2026-0042',
					description: 'Only the e-mail that was sent with this key',
				},
				...createdBetween,
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
		sendAndWait,
		sendBatch,
	},
};
