import type {
	IDataObject,
	IHookFunctions,
	INodeType,
	INodeTypeDescription,
	IWebhookFunctions,
	IWebhookResponseData,
} from 'n8n-workflow';
import { NodeConnectionTypes } from 'n8n-workflow';
import { AUTHENTICATION, testApiKey, testClient } from '../EmailSender/shared/credential';
import { create, exists, heal, keptOf, remove, secretsOf, writeDown } from './endpoint';
import { EVENTS } from './events';
import { itemOf, sampleOf, type Told } from './sample';
import { isSigned, readSigned } from './signature';

/** So many events are remembered, to tell one that comes twice. */
const REMEMBERED = 200;
/** The kind of the event that tries a webhook. */
const TRIAL = 'webhook.test';

interface Options extends IDataObject {
	repeated?: boolean;
	severities?: string[];
}

export class EmailSenderTrigger implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Email Sender Trigger',
		name: 'emailSenderTrigger',
		icon: {
			light: 'file:../../icons/email-sender.svg',
			dark: 'file:../../icons/email-sender.dark.svg',
		},
		group: ['trigger'],
		version: 1,
		subtitle: '={{$parameter["events"].join(", ")}}',
		description: 'Starts a workflow when something happens in Email Sender: alerts, e-mail, jobs',
		defaults: { name: 'Email Sender Trigger' },
		inputs: [],
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
		webhooks: [
			{
				name: 'default',
				httpMethod: 'POST',
				// Answered when the execution is on record: what is told before that is told again.
				responseMode: 'onReceived',
				path: 'events',
			},
		],
		properties: [
			AUTHENTICATION,
			{
				displayName:
					'Events come one after the other, in their order; what happens while n8n is down comes when it is up again',
				name: 'notice',
				type: 'notice',
				default: '',
			},
			{
				displayName: 'Events',
				name: 'events',
				type: 'multiOptions',
				options: EVENTS,
				default: ['alert.fired'],
				required: true,
				description: 'What starts the workflow',
			},
			{
				displayName: 'Options',
				name: 'options',
				type: 'collection',
				placeholder: 'Add Option',
				default: {},
				options: [
					{
						displayName: 'Other Events',
						name: 'otherEvents',
						type: 'string',
						default: '',
						placeholder: 'member.added, api_key.revoked',
						description:
							'Names of events that the list does not have, separated by commas; the credential has to be allowed to read them',
					},
					{
						displayName: 'Severity',
						name: 'severities',
						type: 'multiOptions',
						options: [
							{ name: 'Critical', value: 'critical' },
							{ name: 'Info', value: 'info' },
							{ name: 'Warning', value: 'warning' },
						],
						default: [],
						description:
							'Of alerts and incidents only those of these severities; none: all of them',
					},
					{
						displayName: 'Subject',
						name: 'subject',
						type: 'string',
						default: '',
						placeholder: 'alert:01a2238e-0c5e-7c1f-8a3e-5d2f6b7c8d9e',
						description: 'Only what is about things whose names begin so. Empty: about anything.',
					},
					{
						displayName: 'Take Events Again',
						name: 'repeated',
						type: 'boolean',
						default: false,
						description:
							'Whether an event starts the workflow again when it comes twice, as when its webhook is replayed in the console',
					},
					{
						displayName: 'Try With',
						name: 'testWith',
						type: 'options',
						options: [
							{
								name: 'A Recent Event',
								value: 'recent',
								description: 'The first that fits among the last 500, or else the next that comes',
							},
							{ name: 'The Next Event', value: 'next' },
						],
						default: 'recent',
						description: 'What the editor listens for when you execute the workflow there',
					},
				],
			},
		],
	};

	methods = {
		credentialTest: { testApiKey, testClient },
	};

	webhookMethods = {
		default: {
			async checkExists(this: IHookFunctions): Promise<boolean> {
				return await exists(this);
			},
			async create(this: IHookFunctions): Promise<boolean> {
				await create(this);
				return true;
			},
			async delete(this: IHookFunctions): Promise<boolean> {
				await remove(this);
				return true;
			},
		},
	};

	async webhook(this: IWebhookFunctions): Promise<IWebhookResponseData> {
		const event = await readEvent(this);
		if (event === undefined) {
			const response = this.getResponseObject();
			response.status(401).json({ message: 'The signature is not of this webhook' });
			return { noWebhookResponse: true };
		}
		const isTest = this.getMode() === 'manual';
		if (event.kind === TRIAL) {
			const [kind] = this.getNodeParameter('events') as string[];
			return isTest ? started(sampleOf(kind)) : {};
		}
		const options = this.getNodeParameter('options', {}) as Options;
		if (!isTest && !isFirst(this, event) && !options.repeated) return {};
		if (!isChosen(event, options)) return {};
		if (!isTest) writeDown(this);
		return started(event);
	}
}

/** The event of a request; undefined where it is not from Email Sender. Nothing of it is read before that is known. */
async function readEvent(context: IWebhookFunctions): Promise<Told | undefined> {
	const kept = keptOf(context);
	const { rawBody } = context.getRequestObject() as { rawBody?: unknown };
	const signed = readSigned(context.getHeaderData() as IDataObject, Date.now());
	if (!signed || !Buffer.isBuffer(rawBody)) return undefined;
	const isOurs = isSigned(signed, rawBody, await secretsOf(context, kept));
	if (!isOurs || signed.keyVersion !== kept.keyVersion) await heal(context, kept);
	return isOurs ? (JSON.parse(rawBody.toString('utf8')) as Told) : undefined;
}

/** Whether an event is told for the first time, as far as is remembered. */
function isFirst(context: IWebhookFunctions, { id }: Told): boolean {
	const kept = keptOf(context);
	const seen = kept.seen ?? [];
	if (seen.includes(id)) return false;
	// n8n writes it down once the execution is on record, and not when that fails.
	kept.seen = [...seen, id].slice(-REMEMBERED);
	return true;
}

function isChosen({ kind, data }: Told, { severities = [] }: Options): boolean {
	if (severities.length === 0 || !/^(alert|incident)\./.test(kind)) return true;
	return severities.includes(String(data.severity));
}

function started(event: Told): IWebhookResponseData {
	return { workflowData: [[{ json: itemOf(event) }]] };
}
