import type {
	IAuthenticateGeneric,
	ICredentialTestRequest,
	ICredentialType,
	INodeProperties,
} from 'n8n-workflow';

export class EmailSenderApi implements ICredentialType {
	name = 'emailSenderApi';

	displayName = 'Email Sender API';

	icon = {
		light: 'file:../icons/email-sender.svg',
		dark: 'file:../icons/email-sender.dark.svg',
	} as const;

	documentationUrl = 'https://email-sender.example/n8n#credentials';

	properties: INodeProperties[] = [
		{
			displayName: 'Base URL',
			name: 'baseUrl',
			type: 'string',
			default: 'http://127.0.0.1:8400',
			placeholder: 'https://email.example.com',
			description: 'Where Email Sender is reached from n8n, without /api/v1',
			required: true,
		},
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
	];

	authenticate: IAuthenticateGeneric = {
		type: 'generic',
		properties: { headers: { Authorization: '=Bearer {{$credentials.apiKey}}' } },
	};

	test: ICredentialTestRequest = {
		request: { baseURL: '={{$credentials.baseUrl}}', url: '/api/v1/me' },
	};
}
