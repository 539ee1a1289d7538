import type {
	IExecuteFunctions,
	INodeExecutionData,
	INodeType,
	INodeTypeDescription,
	IWebhookFunctions,
	IWebhookResponseData,
} from 'n8n-workflow';
import { NodeConnectionTypes } from 'n8n-workflow';
import { resources } from './resources';
import { ANSWER_WEBHOOKS, answer, WAITING_TOOLTIP } from './resources/email/approval';
import { getRelays, getTemplates, getTemplateVariables } from './resources/email/choices';
import { AUTHENTICATION, testApiKey, testClient } from './shared/credential';
import { propertiesOf, runForEachItem } from './shared/operation';

export class EmailSender implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Email Sender',
		name: 'emailSender',
		icon: {
			light: 'file:../../icons/email-sender.svg',
			dark: 'file:../../icons/email-sender.dark.svg',
		},
		group: ['output'],
		// 1.1: a business key whose expression gives nothing is an error.
		version: [1, 1.1],
		defaultVersion: 1.1,
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
				testedBy: 'testClient',
				displayOptions: { show: { authentication: ['oAuth2'] } },
			},
			{
				name: 'emailSenderApi',
				required: true,
				testedBy: 'testApiKey',
				displayOptions: { show: { authentication: ['apiKey'] } },
			},
		],
		webhooks: ANSWER_WEBHOOKS,
		waitingNodeTooltip: WAITING_TOOLTIP,
		properties: [
			AUTHENTICATION,
			...propertiesOf(resources),
		],
	};

	methods = {
		credentialTest: { testApiKey, testClient },
		loadOptions: { getRelays, getTemplates, getTemplateVariables },
	};

	async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
		return await runForEachItem(this, resources);
	}

	async webhook(this: IWebhookFunctions): Promise<IWebhookResponseData> {
		return await answer(this);
	}
}
