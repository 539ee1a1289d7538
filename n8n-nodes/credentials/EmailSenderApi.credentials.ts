import type { IAuthenticateGeneric, ICredentialType, INodeProperties } from 'n8n-workflow';
import { baseUrlField, caCertificateField } from '../nodes/EmailSender/shared/credential';

export class EmailSenderApi implements ICredentialType {
	name = 'emailSenderApi';

	displayName = 'Email Sender API';

	icon = {
		light: 'file:../icons/email-sender.svg',
		dark: 'file:../icons/email-sender.dark.svg',
	} as const;

	documentationUrl = 'https://email-sender.example/n8n#credentials';

	properties: INodeProperties[] = [
		baseUrlField,
		{
			displayName: 'API Key',
			name: 'apiKey',
			type: 'string',
			typeOptions: { password: true },
			default: '',
			description:
				'Begins with es_key_; made with the role "workflow" in the console under API keys, or by POST /api/v1/api-keys',
			required: true,
		},
		caCertificateField,
	];

	authenticate: IAuthenticateGeneric = {
		type: 'generic',
		properties: { headers: { Authorization: '=Bearer {{$credentials.apiKey}}' } },
	};
}
