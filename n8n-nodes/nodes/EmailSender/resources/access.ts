import { send } from '../shared/calls';
import type { Resource } from '../shared/operation';

export const access: Resource = {
	name: 'Access',
	value: 'access',
	default: 'check',
	operations: {
		check: send({
			route: 'POST /api/v1/access/check',
			action: 'Check a permission',
			description: 'Say whether somebody may do something in the tenant now',
			fields: [
				{
					displayName: 'Permission',
					name: 'permission',
					type: 'string',
					default: '',
					required: true,
					placeholder: 'email:send',
				},
				{
					displayName: 'Subject',
					name: 'subject',
					type: 'string',
					default: '',
					placeholder: 'user:ada@example.com',
					description:
						'A person by ID or e-mail (user:...), a client (client:...) or a key (api_key:...); leave empty for the credential itself',
				},
			],
		}),
	},
};
