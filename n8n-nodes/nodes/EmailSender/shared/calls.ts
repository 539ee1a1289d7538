/**
 * Operations as data: a declaration says what the API calls it and what the editor shows; what n8n needs is made here.
 *
 * A field's name is that of the API in camelCase: `replyTo` is sent as `reply_to`, and `{email_id}` in a path is the
 * field `emailId`. The children of a collection are sent like fields of their own, when they were added. Fields that the
 * editor does not show are not sent, nor are empty ones, unless they are required.
 */
import type {
	IDataObject,
	IExecuteFunctions,
	INodeParameters,
	INodeProperties,
} from 'n8n-workflow';
import { NodeHelpers, NodeOperationError } from 'n8n-workflow';
import { readJsonObject } from './json';
import { inCamelCase, inSnakeCase, inTitleCase } from './names';
import type { Operation } from './operation';
import type { Api } from './transport';

const LARGEST_PAGE = 200;

interface Declaration {
	/** As the OpenAPI document spells it. */
	route: string;
	/** What the list of actions says: "Send an email". */
	action: string;
	description: string;
}

interface Named {
	/** Where whoever fills in the ID finds it. */
	id: string;
	/** What an ID looks like, when it is no UUID. */
	placeholder?: string;
}

export interface ById extends Declaration, Named {
	route: `${'GET' | 'POST' | 'DELETE'} ${string}/{${string}}${string}`;
}

/**
 * One call on one object: get, delete, or a verb without a body.
 *
 * The object comes out as the API answers. A call that is answered without content still gives an item, or the workflow
 * would stop there: `{ deleted: true }`, as nodes of n8n do, or `{ success: true }`.
 */
export function byId({ id, placeholder, ...declared }: ById): Operation {
	const field = idField(declared.route, { id, placeholder });
	return {
		...declared,
		fields: [field],
		async execute(context, item, api) {
			const request = { route: declared.route, params: paramsOf(field, context, item) };
			const done = declared.route.startsWith('DELETE ') ? { deleted: true } : { success: true };
			return [(await api.objectOrNothing(request)) ?? done];
		},
	};
}

export interface Pages extends Declaration {
	route: `GET ${string}`;
	/** Each is a query parameter; the editor offers them as one collection. */
	filters?: INodeProperties[];
}

/** A list with an opaque cursor: all of it, or up to a limit; one item for each object, in the API's order. */
export function pages({ filters = [], ...declared }: Pages): Operation {
	const collection: INodeProperties = {
		displayName: 'Filters',
		name: 'filters',
		type: 'collection',
		placeholder: 'Add Filter',
		default: {},
		options: filters,
	};
	const filterFields = filters.length > 0 ? [collection] : [];
	return {
		...declared,
		query: ['limit', 'cursor', ...wireNames(filters)],
		fields: [
			{
				displayName: 'Return All',
				name: 'returnAll',
				type: 'boolean',
				default: false,
				description: 'Whether to return all results or only up to a given limit',
			},
			{
				displayName: 'Limit',
				name: 'limit',
				type: 'number',
				displayOptions: { show: { returnAll: [false] } },
				typeOptions: { minValue: 1 },
				default: 50,
				description: 'Max number of results to return',
			},
			...filterFields,
		],
		async execute(context, item, api) {
			const returnAll = context.getNodeParameter('returnAll', item) as boolean;
			const wanted = returnAll ? Infinity : (context.getNodeParameter('limit', item) as number);
			const given = readFields(context, item, filterFields);
			const filter = await toWire(context, item, filters, given);

			const found: IDataObject[] = [];
			const seen = new Set<unknown>();
			let cursor: unknown;
			do {
				const query: IDataObject = {
					limit: Math.min(wanted - found.length, LARGEST_PAGE),
					...filter,
					...(cursor ? { cursor: cursor as string } : {}),
				};
				const page = await api.object({ route: declared.route, query });
				found.push(...((page.items ?? []) as IDataObject[]));

				cursor = page.next_cursor;
				// A cursor that comes back would turn Return All into an endless loop over the same page.
				if (cursor && seen.has(cursor)) {
					throw new NodeOperationError(
						context.getNode(),
						'The list does not end: a cursor was repeated',
						{ itemIndex: item },
					);
				}
				seen.add(cursor);
			} while (cursor && found.length < wanted);

			return returnAll ? found : found.slice(0, wanted);
		},
	};
}

/** Turns what a field holds into what the API takes; `undefined` leaves it out. */
export type Convert = (value: unknown, context: IExecuteFunctions, item: number) => unknown;

export interface Send extends Declaration, Partial<Named> {
	/** A parameter in it needs an `id`, as `byId` has it. */
	route: `${'POST' | 'PUT'} ${string}`;
	/** Each is a property of the body. */
	fields: INodeProperties[];
	/** Names of fields that only steer the node. */
	unsent?: string[];
	/** By field name, where the value is not sent as it is; JSON is read and a business key trimmed without being told. */
	convert?: Record<string, Convert>;
	/** Says why a body is not worth sending. */
	refuse?: (body: IDataObject) => string | undefined;
	/** Makes what comes out of the answer, given the values of the fields. */
	finish?: (api: Api, answer: IDataObject, given: IDataObject) => Promise<IDataObject>;
}

/**
 * One POST that creates or does something, or one PUT that changes an object; the API's answer comes out.
 *
 * A repeat of a POST cannot act twice: the transport names it by execution, node, run, item and operation. Across
 * executions only a `businessKey` among the fields can tell.
 */
export function send({
	id,
	placeholder,
	unsent = [],
	convert = {},
	refuse = () => undefined,
	finish = async (_, answer) => answer,
	...declared
}: Send): Operation {
	const sent = leavesOf(declared.fields).filter(({ name }) => !unsent.includes(name));
	const path = declared.route.includes('{') ? [idField(declared.route, { id, placeholder })] : [];
	return {
		...declared,
		fields: [...path, ...declared.fields],
		body: wireNames(sent),
		async execute(context, item, api) {
			const given = readFields(context, item, declared.fields);
			const body = await toWire(context, item, sent, given, convert);
			const refusal = refuse(body);
			if (refusal) throw new NodeOperationError(context.getNode(), refusal, { itemIndex: item });
			const params = Object.assign({}, ...path.map((field) => paramsOf(field, context, item)));
			return [await finish(api, await api.object({ route: declared.route, params, body }), given)];
		},
	};
}

/** The field by which the API does a thing at most once, whichever execution asks for it. */
export function businessKey(placeholder: string, description: string): INodeProperties {
	return {
		displayName: 'Business Key',
		name: 'businessKey',
		type: 'string',
		default: '',
		placeholder,
		description,
	};
}

/** The field of the path's parameter, which is named after it. */
function idField(route: string, { id, placeholder }: Partial<Named>): INodeProperties {
	const [, parameter] = /\{(\w+)\}/.exec(route) as RegExpExecArray;
	const name = inCamelCase(parameter);
	return {
		displayName: inTitleCase(name),
		name,
		type: 'string',
		default: '',
		required: true,
		placeholder: placeholder ?? 'e.g. 0199c2a4-6f3e-7c1b-9d52-3f1f0c6b8a11',
		description: id,
	};
}

function paramsOf({ name }: INodeProperties, context: IExecuteFunctions, item: number) {
	return { [inSnakeCase(name)]: context.getNodeParameter(name, item) as string };
}

/** The values of the fields that are shown, by name, those of collections among them. */
function readFields(
	context: IExecuteFunctions,
	item: number,
	fields: INodeProperties[],
): IDataObject {
	const given: IDataObject = {};
	for (const field of fields) {
		// By the values of this item: what hides a field may itself be an expression.
		if (!NodeHelpers.displayParameter(given as INodeParameters, field, null, null)) continue;
		const value = context.getNodeParameter(field.name, item);
		Object.assign(given, field.type === 'collection' ? value : { [field.name]: value });
	}
	return given;
}

async function toWire(
	context: IExecuteFunctions,
	item: number,
	fields: INodeProperties[],
	given: IDataObject,
	convert: Record<string, Convert> = {},
): Promise<IDataObject> {
	const wire: IDataObject = {};
	for (const { name, type, displayName, required } of fields) {
		if (!(name in given)) continue;
		let value: unknown = given[name];
		if (convert[name]) value = await convert[name](value, context, item);
		else if (type === 'json') value = readJsonObject(context, item, displayName, value);
		else if (name === 'businessKey') value = String(value ?? '').trim();
		if (required || !isEmpty(type, value)) wire[inSnakeCase(name)] = value as IDataObject;
	}
	return wire;
}

function isEmpty(type: string, value: unknown): boolean {
	if (Array.isArray(value)) return value.length === 0;
	if (type === 'number' || type === 'boolean')
		return value === undefined || value === null || value === '';
	return !value;
}

function leavesOf(fields: INodeProperties[]): INodeProperties[] {
	return fields.flatMap((field) =>
		field.type === 'collection' ? ((field.options ?? []) as INodeProperties[]) : [field],
	);
}

function wireNames(fields: INodeProperties[]): string[] {
	return fields.map(({ name }) => inSnakeCase(name));
}
