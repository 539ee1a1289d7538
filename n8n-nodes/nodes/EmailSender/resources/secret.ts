import type { IExecuteFunctions, INodeProperties } from 'n8n-workflow';
import { NodeOperationError } from 'n8n-workflow';
import { ask, type Convert, send } from '../shared/calls';
import type { Resource } from '../shared/operation';
import { refuse } from '../shared/values';

/** What every node that puts out something secret says first. */
export const KEPT =
	'n8n keeps what comes out with the execution. In the settings of the workflow, save neither successful, failed nor manual executions and no progress.';

const path: INodeProperties = {
	displayName: 'Path',
	name: 'path',
	type: 'string',
	default: '',
	required: true,
	placeholder: 'billing/smtp',
	description: 'Folders and name of the secret',
};

const environment: INodeProperties = {
	displayName: 'Environment',
	name: 'environment',
	type: 'string',
	default: 'default',
	required: true,
	placeholder: 'production',
	description: 'The same path holds another secret in each environment',
};

const version: INodeProperties = {
	displayName: 'Version',
	name: 'version',
	type: 'number',
	typeOptions: { minValue: 1 },
	default: 1,
	description: 'Another version than the newest',
};

/**
 * The value as the API takes it, by what the builder says that it is.
 *
 * What is refused is never quoted, as it is elsewhere: an error is kept with the execution.
 */
const readValue: Convert = (value, place) => {
	if (place.context.getNodeParameter('valueIs', place.item) === 'text') {
		if (['string', 'number', 'boolean'].includes(typeof value)) return String(value);
		throw refuse(place, '"Value" is not a text');
	}
	const object = typeof value === 'string' ? parsed(value) : value;
	if (typeof object !== 'object' || object === null || Array.isArray(object)) {
		throw refuse(place, '"Value" is not a JSON object', 'Expected something like {"user": "ada"}');
	}
	const strange = Object.entries(object).find(([, text]) => typeof text !== 'string');
	if (strange) throw refuse(place, `The key "${strange[0]}" holds no text`);
	return object;
};

function parsed(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

function workflowOf(context: IExecuteFunctions, item: number): string {
	return known(context, item, context.getWorkflow().id, 'workflow');
}

function executionOf(context: IExecuteFunctions, item: number): string {
	return known(context, item, context.getExecutionId(), 'execution');
}

function known(
	context: IExecuteFunctions,
	itemIndex: number,
	id: string | undefined,
	what: string,
): string {
	if (id) return id;
	throw new NodeOperationError(context.getNode(), `n8n names no ${what} for this run`, {
		description: 'Save the workflow and run it whole: a secret is given once to one execution.',
		itemIndex,
	});
}

export const secret: Resource = {
	name: 'Secret',
	value: 'secret',
	default: 'get',
	operations: {
		get: ask({
			route: 'GET /api/v1/secrets/by-path/value',
			action: 'Get a secret',
			description: 'Read the value of a secret; it comes out and is kept with the execution',
			notice: KEPT,
			fields: [path, environment],
			filters: [
				{
					displayName: 'References',
					name: 'references',
					type: 'options',
					options: [
						{ name: 'Keep', value: 'keep', description: 'As they are written' },
						{ name: 'Resolve', value: 'resolve', description: 'What they lead to' },
					],
					default: 'resolve',
					description: 'What becomes of references to other secrets',
				},
				version,
			],
		}),
		getOnce: send({
			name: 'Get Once',
			route: 'POST /api/v1/secrets/tokens/redeem',
			action: 'Get a secret once',
			description: 'Give a token back for its secret, once and in the execution that it is for',
			notice: KEPT,
			fields: [
				{
					displayName: 'Token',
					name: 'token',
					type: 'string',
					typeOptions: { password: true },
					default: '',
					required: true,
					placeholder: 'es_once_...',
					description: 'As Create Token, or whoever calls the workflow, gave it',
				},
			],
			told: { workflow_id: workflowOf, execution_id: executionOf },
		}),
		issueToken: send({
			name: 'Create Token',
			route: 'POST /api/v1/secrets/tokens',
			action: 'Create a token for a secret',
			description: 'Let one execution of a workflow read a secret once',
			fields: [
				path,
				environment,
				{
					displayName: 'Workflow ID',
					name: 'workflowId',
					type: 'string',
					default: '={{ $workflow.id }}',
					required: true,
					description: 'The workflow that may read it; this one unless changed',
				},
				{
					displayName: 'Execution ID',
					name: 'executionId',
					type: 'string',
					default: '={{ $execution.id }}',
					description:
						'The execution that may read it; this one unless changed, and whichever comes first when empty',
				},
				{
					displayName: 'Options',
					name: 'options',
					type: 'collection',
					placeholder: 'Add Option',
					default: {},
					options: [
						{
							displayName: 'Time to Live',
							name: 'ttlSeconds',
							type: 'number',
							typeOptions: { minValue: 1, maxValue: 3600 },
							default: 300,
							description: 'Seconds until the token cannot be used any more, at most 3600',
						},
						version,
					],
				},
			],
		}),
		set: send({
			route: 'POST /api/v1/secrets',
			action: 'Set a secret',
			description: 'Create a secret, or its next version',
			fields: [
				path,
				environment,
				{
					displayName: 'Value Is',
					name: 'valueIs',
					type: 'options',
					noDataExpression: true,
					options: [
						{ name: 'Keys and Texts', value: 'object' },
						{ name: 'One Text', value: 'text' },
					],
					default: 'object',
				},
				{
					displayName: 'Value',
					name: 'value',
					type: 'string',
					typeOptions: { password: true },
					default: '',
					required: true,
					placeholder: '{"user": "mailer", "password": "..."}',
					description: 'A JSON object of texts, or one text',
					hint: 'What is typed here is saved with the workflow; an expression is not',
				},
				{
					displayName: 'Options',
					name: 'options',
					type: 'collection',
					placeholder: 'Add Option',
					default: {},
					options: [
						{
							displayName: 'Replaces Version',
							name: 'cas',
							type: 'number',
							typeOptions: { minValue: 0 },
							default: 0,
							description: 'Fail unless this is the newest version; 0: unless there is none yet',
						},
						{
							displayName: 'Time to Live',
							name: 'ttlSeconds',
							type: 'number',
							typeOptions: { minValue: 1 },
							default: 86400,
							description: 'Seconds until this version cannot be read any more',
						},
					],
				},
			],
			unsent: ['valueIs'],
			convert: { value: readValue },
		}),
	},
};
