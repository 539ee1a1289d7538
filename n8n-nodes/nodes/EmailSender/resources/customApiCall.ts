import type { IDataObject, IExecuteFunctions, INodeProperties } from 'n8n-workflow';
import { NodeOperationError } from 'n8n-workflow';
import { readJson, readJsonObject } from '../shared/json';
import type { Resource } from '../shared/operation';
import { API_ROOT } from '../shared/server';
import type { Answer, Api, Call } from '../shared/transport';
import { isExpression, isNothing, refuse, writtenIn } from '../shared/values';

const fields: INodeProperties[] = [
	{
		displayName: 'Method',
		name: 'method',
		type: 'options',
		options: [
			{ name: 'DELETE', value: 'DELETE' },
			{ name: 'GET', value: 'GET' },
			{ name: 'PATCH', value: 'PATCH' },
			{ name: 'POST', value: 'POST' },
			{ name: 'PUT', value: 'PUT' },
		],
		default: 'GET',
	},
	{
		displayName: 'Path',
		name: 'path',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'email-templates/welcome',
		description: 'Path below /api/v1, without a query',
	},
	{
		displayName: 'Query Parameters',
		name: 'query',
		type: 'json',
		default: '{}',
		description: 'JSON object, for example {"limit": 10}',
	},
	{
		displayName: 'Body',
		name: 'body',
		type: 'json',
		displayOptions: { show: { method: ['PATCH', 'POST', 'PUT'] } },
		default: '{}',
		description: 'JSON to send',
	},
	{
		displayName: 'Options',
		name: 'options',
		type: 'collection',
		placeholder: 'Add Option',
		default: {},
		options: [
			{
				displayName: 'All Pages',
				name: 'allPages',
				type: 'boolean',
				default: false,
				description:
					'Whether to follow the cursor of a list to its end, and put the items of all pages together (GET only)',
			},
			{
				displayName: 'Full Response',
				name: 'fullResponse',
				type: 'boolean',
				default: false,
				description:
					'Whether to return status code and headers (the ETag, for one) beside the body',
			},
			{
				displayName: 'If-Match',
				name: 'ifMatch',
				type: 'string',
				default: '',
				description:
					'ETag of the version to change; the call fails when someone changed it meanwhile',
			},
			{
				displayName: 'Split Into Items',
				name: 'splitIntoItems',
				type: 'boolean',
				default: false,
				description: 'Whether each object of a list comes out as an item of its own',
			},
		],
	},
];

async function execute(context: IExecuteFunctions, item: number, api: Api): Promise<IDataObject[]> {
	const method = context.getNodeParameter('method', item) as string;
	const path = readPath(context, item);
	const options = context.getNodeParameter('options', item) as IDataObject;
	const { fullResponse, ifMatch, allPages, splitIntoItems } = options;
	const hasBody = ['PATCH', 'POST', 'PUT'].includes(method);
	const request: Call = {
		route: `${method} ${API_ROOT}/${path}`,
		query: readQuery(context, item),
		...(hasBody ? { body: readBody(context, item) } : {}),
		...(ifMatch ? { headers: { 'If-Match': String(ifMatch) } } : {}),
	};

	const answer = await api.call(request);
	if (allPages && method === 'GET') await addPages(context, item, api, request, answer);
	const { status: statusCode, headers } = answer;
	const body = answer.body as IDataObject | IDataObject[] | string | undefined;
	const list = (body as IDataObject | undefined)?.items;
	if (splitIntoItems && Array.isArray(list)) return list as IDataObject[];
	if (fullResponse) return [{ statusCode, headers, body: body || null }];
	// An answer without content still gives an item, or the workflow would stop here.
	if (body === undefined || body === '' || body === null) return [{ statusCode }];
	if (Array.isArray(body)) return body;
	return [typeof body === 'object' ? body : { statusCode, body }];
}

/** Follows the cursor from a first page, and puts the items of all others behind its own. */
async function addPages(
	context: IExecuteFunctions,
	item: number,
	api: Api,
	request: Call,
	first: Answer,
): Promise<void> {
	const page = first.body as IDataObject | undefined;
	if (!Array.isArray(page?.items)) return;
	const seen = new Set<unknown>();
	for (let cursor = page.next_cursor; cursor; ) {
		if (seen.has(cursor)) {
			throw new NodeOperationError(
				context.getNode(),
				'The list does not end: a cursor was repeated',
				{ itemIndex: item },
			);
		}
		seen.add(cursor);
		const next = await api.object({ ...request, query: { ...request.query, cursor } });
		page.items.push(...((next.items ?? []) as IDataObject[]));
		cursor = next.next_cursor;
	}
	page.next_cursor = null;
}

/** What is nothing would not be sent, and the list would be the whole. */
function readQuery(context: IExecuteFunctions, item: number): IDataObject {
	const label = 'Query Parameters';
	const query = readJsonObject(context, item, label, context.getNodeParameter('query', item));
	const place = { context, item, label, written: writtenIn(context, 'query') };
	for (const [name, value] of Object.entries(query)) {
		const cameOutEmpty = isExpression(place.written) && isNothing(value);
		if (value === undefined || value === null || cameOutEmpty) {
			throw refuse(
				place,
				`"${name}" in "${label}" is nothing`,
				'Leave it out, or correct the name of the field in the expression.',
			);
		}
	}
	return query;
}

function readBody(context: IExecuteFunctions, item: number): IDataObject | IDataObject[] {
	const value = context.getNodeParameter('body', item);
	return readJson(context, item, 'Body', value) as IDataObject | IDataObject[];
}

/** A path that cannot leave the API: no host, no climbing, nothing that the address would read as query or escape. */
function readPath(context: IExecuteFunctions, item: number): string {
	const path = String(context.getNodeParameter('path', item) ?? '')
		.trim()
		.replace(/^\/|\/$/g, '')
		.replace(/^api\/v1\//, '');
	const segments = path.split('/');
	if (segments.every((segment) => /^[A-Za-z0-9_~@:.-]+$/.test(segment) && !/^\.+$/.test(segment))) {
		return path;
	}
	throw new NodeOperationError(context.getNode(), `"${path}" is not a path below ${API_ROOT}`, {
		description:
			'Give something like email-templates/welcome: letters, digits and - _ . ~ @ : between single slashes. Values after "?" go to Query Parameters.',
		itemIndex: item,
	});
}

export const customApiCall: Resource = {
	name: 'Custom API Call',
	value: 'customApiCall',
	default: 'call',
	operations: {
		call: {
			// The name keeps n8n from adding its own entry, which would lead away to the HTTP Request node.
			name: 'Custom API Call',
			action: 'Make a custom API call',
			description: 'Call any path of the API with this credential',
			// Any method and any path of the document: the builder chooses both.
			route: '* /api/v1/*',
			fields,
			execute,
		},
	},
};
