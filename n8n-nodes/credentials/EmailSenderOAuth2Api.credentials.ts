import type {
	IAuthenticate,
	ICredentialDataDecryptedObject,
	ICredentialType,
	IDataObject,
	IHttpRequestHelper,
	INodeProperties,
} from 'n8n-workflow';
import {
	baseUrlField,
	caCertificateField,
	currentToken,
	renewToken,
} from '../nodes/EmailSender/shared/credential';

/**
 * A client of Email Sender by the client credentials grant.
 *
 * It does not extend n8n's `oAuth2Api`: that shows the address last, trusts no authority of one's own when it fetches a
 * token, and blames the secret for a wrong address.
 */
export class EmailSenderOAuth2Api implements ICredentialType {
	name = 'emailSenderOAuth2Api';

	displayName = 'Email Sender OAuth2 API';

	icon = {
		light: 'file:../icons/email-sender.svg',
		dark: 'file:../icons/email-sender.dark.svg',
	} as const;

	documentationUrl = 'https://email-sender.example/n8n#credentials';

	properties: INodeProperties[] = [
		baseUrlField,
		{
			displayName: 'Client ID',
			name: 'clientId',
			type: 'string',
			default: '',
			description:
				'Of a client with the role "workflow", made in the console under API clients, or by POST /api/v1/clients',
			required: true,
		},
		{
			displayName: 'Client Secret',
			name: 'clientSecret',
			type: 'string',
			typeOptions: { password: true },
			default: '',
			description: 'Shown once, when the client is made or its secret is renewed',
			required: true,
		},
		caCertificateField,
		{
			displayName: 'Access Token',
			name: 'accessToken',
			type: 'hidden',
			// n8n renews it when it is empty, and when the API answers 401.
			typeOptions: { expirable: true, password: true },
			default: '',
		},
		{
			displayName: 'Asked With',
			name: 'askedWith',
			type: 'hidden',
			default: '',
		},
	];

	async preAuthentication(
		this: IHttpRequestHelper,
		credentials: ICredentialDataDecryptedObject,
	): Promise<IDataObject> {
		return await renewToken.call(this, credentials);
	}

	authenticate: IAuthenticate = async (credentials, request) => ({
		...request,
		headers: { ...request.headers, Authorization: `Bearer ${currentToken(credentials)}` },
	});
}
