import type { ICredentialTestRequest, ICredentialType, INodeProperties } from 'n8n-workflow';

export class EmailSenderOAuth2Api implements ICredentialType {
	name = 'emailSenderOAuth2Api';

	extends = ['oAuth2Api'];

	displayName = 'Email Sender OAuth2 API';

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
			displayName: 'Grant Type',
			name: 'grantType',
			type: 'hidden',
			default: 'clientCredentials',
		},
		{
			displayName: 'Access Token URL',
			name: 'accessTokenUrl',
			type: 'hidden',
			default: '={{$self["baseUrl"].replace(/\\/+$/, "")}}/oauth/token',
			required: true,
		},
		{
			displayName: 'Scope',
			name: 'scope',
			type: 'hidden',
			default: '',
		},
		{
			displayName: 'Authentication',
			name: 'authentication',
			type: 'hidden',
			default: 'header',
		},
	];

	test: ICredentialTestRequest = {
		request: { baseURL: '={{$credentials.baseUrl}}', url: '/api/v1/me' },
	};
}
