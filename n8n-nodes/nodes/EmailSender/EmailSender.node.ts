import type {
	IExecuteFunctions,
	INodeExecutionData,
	INodeType,
	INodeTypeDescription,
} from 'n8n-workflow';
import { NodeConnectionTypes } from 'n8n-workflow';
import * as customApiCall from './resources/customApiCall';
import * as email from './resources/email';
import * as job from './resources/job';
import { runForEachItem } from './shared/operation';

export class EmailSender implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Email Sender',
		name: 'emailSender',
		icon: {
			light: 'file:../../icons/email-sender.svg',
			dark: 'file:../../icons/email-sender.dark.svg',
		},
		group: ['output'],
		version: 1,
		subtitle: '={{$parameter["operation"] + ": " + $parameter["resource"]}}',
		description: 'Send e-mail through Email Sender and follow it until it is delivered',
		defaults: { name: 'Email Sender' },
		usableAsTool: true,
		inputs: [NodeConnectionTypes.Main],
		outputs: [NodeConnectionTypes.Main],
		credentials: [
			{
				name: 'emailSenderOAuth2Api',
				required: true,
				displayOptions: { show: { authentication: ['oAuth2'] } },
			},
			{
				name: 'emailSenderApi',
				required: true,
				displayOptions: { show: { authentication: ['apiKey'] } },
			},
		],
		properties: [
			{
				displayName: 'Authentication',
				name: 'authentication',
				type: 'options',
				options: [
					{ name: 'OAuth2', value: 'oAuth2' },
					{ name: 'API Key', value: 'apiKey' },
				],
				default: 'oAuth2',
			},
			{
				displayName: 'Resource',
				name: 'resource',
				type: 'options',
				noDataExpression: true,
				options: [
					{ name: 'Email', value: 'email' },
					{ name: 'Job', value: 'job' },
					// n8n offers an entry of its own under this name, unless the list already ends with one.
					{ name: 'Custom API Call', value: 'customApiCall' },
				],
				default: 'email',
			},
			...email.properties,
			...job.properties,
			...customApiCall.properties,
		],
	};

	async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
		return await runForEachItem(this, {
			email: email.operations,
			job: job.operations,
			customApiCall: customApiCall.operations,
		});
	}
}
