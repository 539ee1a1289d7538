/**
 * Operations as data: a declaration says what the API calls it and what the editor shows; what n8n needs is made here.
 *
 * A field's name is that of the API in camelCase: `replyTo` is sent as `reply_to`, and `{email_id}` in a path is the
 * field `emailId`. The children of a collection are sent like fields of their own, when they were added. Fields that the
 * editor does not show are not sent, nor are empty ones, unless they are required. What an expression gives is made into
 * what the field takes: a number becomes a text, `"7"` a number.
 */
import type {
	IDataObject,
	IExecuteFunctions,
	INodeParameters,
	INodeProperties,
} from 'n8n-workflow';
import { NodeApiError, NodeHelpers, NodeOperationError } from 'n8n-workflow';
import { readJsonObject } from './json';
import { inCamelCase, inSnakeCase, inTitleCase } from './names';
import { inOrder, type Open, type Operation, type Outcome } from './operation';
import type { Answer, Api } from './transport';
import {
	asBoolean,
	asNumber,
	asText,
	asTime,
	isExpression,
	isNothing,
	nameOf,
	type Place,
	refuse,
	refuseEmptyParts,
	shown,
	writtenIn,
} from './values';

const LARGEST_PAGE = 200;
const FIRST_LOOK_MS = 500;
const LONGEST_GAP_MS = 10_000;
const PLAIN = ['string', 'number', 'boolean'];
/** An expression gives a time as an object of its own. */
const TIMES = ['string', 'object'];

interface Declaration {
	/** What the list of operations says, when it is not the operation's own value in words. */
	name?: string;
	/** What a builder must know before the first field. */
	notice?: string;
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
	/** What its field is called, when not as the path's parameter in words. */
	label?: string;
}

export interface ById extends Declaration, Named {
	route: `${'GET' | 'POST' | 'DELETE'} ${string}/{${string}}${string}`;
	/** What else names the object: a filter of a list, which at most one object passes. */
	orBy?: { route: `GET ${string}`; field: INodeProperties };
	/** The answer is a list without pages: an item for each. */
	isList?: boolean;
}

/**
 * One call on one object: get, delete, or a verb without a body.
 *
 * The object comes out as the API answers. A call that is answered without content still gives an item, or the workflow
 * would stop there: `{ deleted: true }`, as nodes of n8n do, or `{ success: true }`.
 */
export function byId({ id, placeholder, label, orBy, isList, ...declared }: ById): Operation {
	const field = idField(declared.route, { id, placeholder, label });
	return {
		...declared,
		...(orBy ? { lookup: { route: orBy.route, query: [inSnakeCase(orBy.field.name)] } } : {}),
		fields: orBy ? eitherOf(field, orBy.field) : [field],
		async execute(context, item, api) {
			const isByOther = orBy && context.getNodeParameter('getBy', item) === orBy.field.name;
			const params = isByOther
				? { [inSnakeCase(field.name)]: await lookUp(context, item, api, orBy) }
				: paramsOf(field, context, item);
			const request = { route: declared.route, params };
			const done = declared.route.startsWith('DELETE ') ? { deleted: true } : { success: true };
			const answer = (await api.objectOrNothing(request)) ?? done;
			return isList ? ((answer as IDataObject).items as IDataObject[]) : [answer];
		},
	};
}

/** The choice between two fields that name an object, and both of them. */
function eitherOf(id: INodeProperties, other: INodeProperties): INodeProperties[] {
	const shownFor = (choice: string, field: INodeProperties): INodeProperties => ({
		...field,
		required: true,
		displayOptions: { show: { getBy: [choice] } },
	});
	return [
		{
			displayName: 'Get By',
			name: 'getBy',
			type: 'options',
			noDataExpression: true,
			options: [
				{ name: 'ID', value: 'id' },
				{ name: other.displayName, value: other.name },
			],
			default: 'id',
		},
		shownFor('id', id),
		shownFor(other.name, other),
	];
}

/** The ID of the object that a list has under what the field holds. */
async function lookUp(
	context: IExecuteFunctions,
	item: number,
	api: Api,
	{ route, field }: Required<ById>['orBy'],
): Promise<string> {
	const { name, displayName: label } = field;
	const place = { context, item, label, written: writtenIn(context, name) };
	const given = context.getNodeParameter(name, item);
	refuseEmptyParts(place, given, ['string', 'number']);
	const value = asText(place, given).trim();
	if (!value) throw refuse(place, `"${label}" is empty`);
	const { items } = await api.object({ route, query: { [inSnakeCase(name)]: value } });
	const [found] = (items ?? []) as IDataObject[];
	if (found) return String(found.id);
	throw refuse(place, `Nothing has the ${label.toLowerCase()} ${shown(value)}`);
}

export interface Until extends Declaration, Named {
	route: `GET ${string}/{${string}}`;
	/** Whether there is nothing more to wait for. */
	isOver: (object: IDataObject) => boolean;
	/** How long is waited at most, when the builder says nothing else. */
	seconds: number;
}

/**
 * One look after another at an object, until it is over or the time is; it comes out as it then stands.
 *
 * Running out of time is no failure: the object says how far it is. When n8n ends the execution, the waiting ends too.
 */
export function until({
	id,
	placeholder,
	label,
	isOver,
	seconds,
	...declared
}: Until): Operation {
	const field = idField(declared.route, { id, placeholder, label });
	const most: INodeProperties = {
		displayName: 'Wait at Most (Seconds)',
		name: 'waitSeconds',
		type: 'number',
		typeOptions: { minValue: 0 },
		default: seconds,
		description: 'After this time it comes out as it stands. n8n may end the execution earlier.',
	};
	return {
		...declared,
		fields: [field, most],
		async execute(context, item, api) {
			const params = paramsOf(field, context, item);
			const place = {
				context,
				item,
				label: most.displayName,
				written: writtenIn(context, most.name),
			};
			const given = asNumber(place, context.getNodeParameter(most.name, item)) ?? seconds;
			const end = api.now() + given * 1000;
			for (let gap = FIRST_LOOK_MS; ; gap = Math.min(gap * 1.5, LONGEST_GAP_MS)) {
				const found = await api.object({ route: declared.route, params });
				const left = end - api.now();
				if (isOver(found) || left <= 0) return [found];
				await api.pause(Math.min(gap, left));
			}
		},
	};
}

export interface Ask extends Declaration {
	route: `GET ${string}`;
	/** Each is a query parameter, too; the editor shows them as they are. */
	fields?: INodeProperties[];
	/** Each is a query parameter; the editor offers them as one collection. */
	filters?: INodeProperties[];
}

/** One look at something that there is one of; it comes out as the API answers. */
export function ask({ fields = [], filters = [], ...declared }: Ask): Operation {
	return {
		...declared,
		query: wireNames([...fields, ...filters]),
		fields: [...fields, ...collectionOf(filters)],
		async execute(context, item, api) {
			const own = toWire(context, item, fields, readFields(context, item, fields));
			const query = { ...own, ...readFilters(context, item, filters) };
			return [await api.object({ route: declared.route, query })];
		},
	};
}

export interface Pages extends Declaration {
	route: `GET ${string}`;
	/** Each is a query parameter; the editor offers them as one collection. */
	filters?: INodeProperties[];
}

/** Filters by when a thing was made. */
export const createdBetween: INodeProperties[] = [
	{
		displayName: 'Created After',
		name: 'createdAfter',
		type: 'dateTime',
		default: '',
		description: 'Only what was made then or later',
	},
	{
		displayName: 'Created Before',
		name: 'createdBefore',
		type: 'dateTime',
		default: '',
		description: 'Only what was made earlier than that',
	},
];

/** A list with an opaque cursor: all of it, or up to a limit; one item for each object, in the API's order. */
export function pages({ filters = [], ...declared }: Pages): Operation {
	const filterFields = collectionOf(filters);
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
			const wanted = returnAll ? Infinity : readLimit(context, item);
			const filter = readFilters(context, item, filters);
			const found: IDataObject[] = [];
			const isNext = endlessGuard(context, item);
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
			} while (isNext(cursor) && found.length < wanted);

			return returnAll ? found : found.slice(0, wanted);
		},
	};
}

export interface InParts extends Declaration {
	/** Takes a list's filters and a `cursor`, acts on a part of the list and answers with `next_cursor`. */
	route: `POST ${string}`;
	/** Each is a property of the body; those of `filters` are offered as one collection. */
	fields: INodeProperties[];
	filters: INodeProperties[];
	/** Numbers in the answers, whose sums come out. */
	sums: string[];
}

/** One act on a whole list, part by part; the sums of what the parts answer come out as one item. */
export function inParts({ fields, filters, sums, ...declared }: InParts): Operation {
	return {
		...declared,
		body: [...wireNames([...fields, ...filters]), 'cursor'],
		fields: [...fields, ...collectionOf(filters)],
		async execute(context, item, api) {
			const own = toWire(context, item, fields, readFields(context, item, fields));
			const asked = { ...own, ...readFilters(context, item, filters) };
			const total = Object.fromEntries(sums.map((name) => [name, 0]));
			const isNext = endlessGuard(context, item);
			let cursor: unknown;
			do {
				const body = { ...asked, ...(cursor ? { cursor: cursor as string } : {}) };
				const part = await api.object({ route: declared.route, body });
				for (const name of sums) total[name] += Number(part[name]);
				cursor = part.next_cursor;
			} while (isNext(cursor));
			return [total];
		},
	};
}

/** Says whether a cursor leads on; one that comes back would be an endless loop over the same part. */
function endlessGuard(context: IExecuteFunctions, itemIndex: number): (cursor: unknown) => boolean {
	const seen = new Set<unknown>();
	return (cursor) => {
		if (cursor && seen.has(cursor)) {
			throw new NodeOperationError(
				context.getNode(),
				'The list does not end: a cursor was repeated',
				{ itemIndex },
			);
		}
		seen.add(cursor);
		return Boolean(cursor);
	};
}

function collectionOf(filters: INodeProperties[]): INodeProperties[] {
	const collection: INodeProperties = {
		displayName: 'Filters',
		name: 'filters',
		type: 'collection',
		placeholder: 'Add Filter',
		default: {},
		options: filters,
	};
	return filters.length > 0 ? [collection] : [];
}

function readFilters(
	context: IExecuteFunctions,
	item: number,
	filters: INodeProperties[],
): IDataObject {
	const given = readFields(context, item, collectionOf(filters));
	refuseEmptyFilters(context, item, filters, given);
	return toWire(context, item, filters, given);
}

/** A filter that was added and comes out empty would list everything, and so would one of another name. */
function refuseEmptyFilters(
	context: IExecuteFunctions,
	item: number,
	filters: INodeProperties[],
	given: IDataObject,
): void {
	const all = { context, item, label: 'Filters', written: writtenIn(context, 'filters') };
	const known = filters.map(({ name }) => name);
	const strange = Object.keys(given).find((name) => !known.includes(name));
	if (strange !== undefined) {
		throw refuse(all, `There is no filter "${strange}"`, `There are: ${known.join(', ')}`);
	}
	if (isExpression(all.written) && Object.keys(given).length === 0) {
		throw refuse(all, 'The expression in "Filters" gives nothing');
	}
	for (const { name, type, displayName: label } of filters.filter((one) => one.name in given)) {
		const place = { ...all, label, written: writtenIn(context, 'filters', name) };
		// One expression for all of them says nothing about each.
		if (!isExpression(all.written)) {
			refuseEmptyParts(place, given[name], type === 'dateTime' ? TIMES : PLAIN);
		}
		if (given[name] === undefined || given[name] === null) {
			throw refuse(place, `The filter "${label}" is nothing`);
		}
	}
}

function readLimit(context: IExecuteFunctions, item: number): number {
	const place = { context, item, label: 'Limit', written: writtenIn(context, 'limit') };
	const limit = asNumber(place, context.getNodeParameter('limit', item));
	if (limit !== undefined && limit >= 1) return Math.floor(limit);
	throw refuse(place, `"Limit" is ${limit ?? 'nothing'}: give a number from 1 up`);
}

/** Turns what a field holds into what the API takes; `undefined` leaves it out. */
export type Convert = (value: unknown, place: Place) => unknown;

export interface Send extends Declaration, Partial<Named> {
	/** A parameter in it needs an `id`, as `byId` has it. */
	route: `${'POST' | 'PUT'} ${string}`;
	/** Each is a property of the body. */
	fields: INodeProperties[];
	/** Names of fields that only steer the node. */
	unsent?: string[];
	/** By property of the body, what n8n itself says of the run: no field that a builder could fill in otherwise. */
	told?: Record<string, (context: IExecuteFunctions, item: number) => string>;
	/** By field name, the field whose list this one's list is put behind. */
	joined?: Record<string, string>;
	/** By field name, where its type does not say what is sent, of fields that are not sent, too. */
	convert?: Record<string, Convert>;
	/** Says why a body is not worth sending. */
	refuse?: (body: IDataObject) => string | undefined;
	/** How several items go in one request. */
	batch?: Batch;
	/** Makes the object that comes out, given the values of the fields. */
	shape?: (object: IDataObject, answer: Answer, given: IDataObject) => IDataObject;
	/** Goes on with what came out, of all items at once; it changes `result` and never throws. */
	follow?: (done: Done[]) => Promise<void>;
}

export interface Batch {
	/** Takes `{[property]: bodies}` and answers with as many `items` in their order; of one object, where the path names one. */
	route: `POST ${string}`;
	property: string;
	most: number;
	/** So many characters of bodies at most; one that is longer goes by itself. */
	mostCharacters?: number;
	/** Whether a body may go with others; all may when left out. */
	takes?: (body: IDataObject) => boolean;
	/** Whether each of the `items` is `{result}` or `{error}`. Otherwise the API does all of them or none. */
	tellsEach?: boolean;
}

/** One item that the API has done. */
export interface Done {
	api: Api;
	context: IExecuteFunctions;
	item: number;
	given: IDataObject;
	result: IDataObject;
}

/**
 * One POST that creates or does something, or one PUT that changes an object; the API's answer comes out.
 *
 * Everything refusable of all items is refused before the first request. Items that may go together do, in their order;
 * when the API refuses them together, nothing of it was done, and each is asked for by itself, to tell which it is about.
 *
 * A repeat of a POST cannot act twice: the transport names it by execution, node, run, item and operation. Across
 * executions only a `businessKey` among the fields can tell.
 */
export function send({
	id,
	placeholder,
	label,
	unsent = [],
	told = {},
	joined = {},
	convert = {},
	refuse: refuseBody = () => undefined,
	batch,
	shape = (object) => object,
	follow,
	...declared
}: Send): Operation {
	const leaves = leavesOf(declared.fields);
	const conversions: Record<string, Convert> = { businessKey: readBusinessKey, ...convert };
	const sent = leaves.filter(({ name }) => !unsent.includes(name) && !(name in joined));
	const path = declared.route.includes('{')
		? [idField(declared.route, { id, placeholder, label })]
		: [];

	async function prepare(context: IExecuteFunctions, item: number, open: Open): Promise<Ready> {
		const given = readFields(context, item, declared.fields);
		const labels = new Map(leaves.map(({ name, displayName }) => [name, displayName]));
		for (const [name, label] of labels) {
			if (!(name in given && name in conversions)) continue;
			const place = { context, item, label, written: writtenOf(context, declared.fields, name) };
			given[name] = (await conversions[name](given[name], place)) as IDataObject;
		}
		for (const [name, into] of Object.entries(joined)) {
			const lists = [given[into], given[name]].filter(Array.isArray);
			if (lists.length > 0) given[into] = lists.flat();
		}
		const body = toWire(context, item, sent, given, Object.keys(conversions));
		for (const [property, tell] of Object.entries(told)) body[property] = tell(context, item);
		const refusal = refuseBody(body);
		if (refusal) throw new NodeOperationError(context.getNode(), refusal, { itemIndex: item });
		const params = Object.assign({}, ...path.map((field) => paramsOf(field, context, item)));
		return { api: open(item), context, item, given, params, body };
	}

	async function submit(ready: Ready): Promise<Done> {
		const { params, body } = ready;
		const request = { route: declared.route, params, body };
		const answer = await ready.api.call(request);
		return { ...ready, result: shape(ready.api.read(request, answer), answer, ready.given) };
	}

	/** `undefined` when the API refuses the items together, so that each is to be asked for by itself. */
	async function submitTogether(
		group: Ready[],
		open: Open,
		{ route, property, tellsEach }: Batch,
	): Promise<Array<Done | Error> | undefined> {
		const { params } = group[0];
		const request = { route, params, body: { [property]: group.map(({ body }) => body) } };
		// Named by all items in it: another group is another request.
		const purpose = `batch.${group.map(({ item }) => item).join()}`;
		const api = open(group[0].item, purpose);
		const together = `${api.run} ${purpose}`;
		if (refusedTogether.has(together)) return undefined;
		let answer: Answer;
		try {
			answer = await api.call(request);
		} catch (error) {
			const { httpCode, context: told } = error as NodeApiError;
			const { code } = (told?.data ?? {}) as IDataObject;
			// Where each item is told of, what is refused with them is the object of the path: a key that there is not.
			const aboutOne = ['400', '413', '422', ...(tellsEach ? [] : ['404', '409'])];
			// The gateway's own refusals speak of an earlier request under this key, which may have been done.
			if (aboutOne.includes(String(httpCode)) && !String(code).startsWith('gateway.')) {
				keepOut(together);
				return undefined;
			}
			throw error instanceof NodeApiError
				? error
				: new NodeOperationError(group[0].context.getNode(), error as Error);
		}
		const items = (api.read(request, answer).items ?? []) as IDataObject[];
		if (items.length !== group.length) {
			throw new NodeOperationError(
				group[0].context.getNode(),
				`Email Sender took ${group.length} together and answered for ${items.length}`,
			);
		}
		const byItem = new Map(
			group.map((ready, place) => [ready.item, { ready, told: items[place] }]),
		);
		return await inOrder(group[0].context, [...byItem.keys()], async (item) => {
			const { ready, told } = byItem.get(item) as { ready: Ready; told: IDataObject };
			if (tellsEach && told.error) throw ready.api.explain(answer, told.error as IDataObject);
			const object = tellsEach ? (told.result as IDataObject) : told;
			return { ...ready, result: shape(object, answer, ready.given) };
		});
	}

	async function submitAll(
		context: IExecuteFunctions,
		group: Ready[],
		open: Open,
	): Promise<Array<Done | Error>> {
		const byItem = new Map(group.map((ready) => [ready.item, ready]));
		const oneByOne = async () =>
			await inOrder(
				context,
				[...byItem.keys()],
				async (item) => await submit(byItem.get(item) as Ready),
			);
		if (!batch || group.length === 1 || group[0].api.isTool) return await oneByOne();
		try {
			return (await submitTogether(group, open, batch)) ?? (await oneByOne());
		} catch (error) {
			return group.map(() => error as Error);
		}
	}

	async function executeAll(
		context: IExecuteFunctions,
		items: number[],
		open: Open,
	): Promise<Outcome[]> {
		const prepared = await inOrder(
			context,
			items,
			async (item) => await prepare(context, item, open),
		);
		const broken = prepared.find((one) => one instanceof Error);
		// One that fails ends the run: then nothing is done for the others either.
		if (broken && !context.continueOnFail())
			return prepared.map((one) => (one === broken ? broken : []));

		const outcomes: Array<Done | Error> = [...(prepared as Error[])];
		const ready = prepared.filter((one): one is Ready => !(one instanceof Error));
		for (const group of groupsOf(ready, batch)) {
			const done = await submitAll(context, group, open);
			done.forEach((one, place) => (outcomes[group[place].item] = one));
			if (done.some((one) => one instanceof Error) && !context.continueOnFail()) {
				return outcomes.map((one) => (one instanceof Error ? one : []));
			}
		}
		await follow?.(outcomes.filter((one): one is Done => !(one instanceof Error)));
		return outcomes.map((one) => (one instanceof Error ? one : [one.result]));
	}

	return {
		...declared,
		...(batch ? { batch: { route: batch.route, body: [batch.property] } } : {}),
		fields: [...path, ...declared.fields],
		body: [...wireNames(sent), ...Object.keys(told)],
		executeAll,
	};
}

/**
 * Runs whose items were refused together, and went one by one.
 *
 * When "Retry On Fail" runs the node again in this process, some are sent already; were they accepted together now, those
 * would be sent again.
 */
const refusedTogether = new Set<string>();

function keepOut(together: string): void {
	refusedTogether.add(together);
	const [oldest] = refusedTogether;
	if (refusedTogether.size > 1_000) refusedTogether.delete(oldest);
}

interface Ready extends Omit<Done, 'result'> {
	params: Record<string, string>;
	body: IDataObject;
}

function groupsOf(all: Ready[], batch: Batch | undefined): Ready[][] {
	if (!batch) return all.map((one) => [one]);
	const { most, mostCharacters = Infinity, takes = () => true } = batch;
	const groups: Ready[][] = [];
	let open: Ready[] | undefined;
	let characters = 0;
	for (const one of all) {
		const joins = takes(one.body);
		const length = JSON.stringify(one.body).length;
		const fits = open !== undefined && open.length < most && characters + length <= mostCharacters;
		if (joins && open && fits && isSame(open[0].params, one.params)) {
			open.push(one);
			characters += length;
		} else {
			groups.push([one]);
			open = joins ? groups[groups.length - 1] : undefined;
			characters = length;
		}
	}
	return groups;
}

function isSame(one: Record<string, string>, other: Record<string, string>): boolean {
	return Object.entries(one).every(([name, value]) => other[name] === value);
}

function writtenOf(context: IExecuteFunctions, fields: INodeProperties[], name: string): unknown {
	const holder = fields.find((field) =>
		((field.type === 'collection' && field.options) || []).some((child) => child.name === name),
	);
	return writtenIn(context, ...(holder ? [holder.name, name] : [name]));
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
function idField(route: string, { id, placeholder, label }: Partial<Named>): INodeProperties {
	const [, parameter] = /\{(\w+)\}/.exec(route) as RegExpExecArray;
	const name = inCamelCase(parameter);
	return {
		displayName: label ?? inTitleCase(name),
		name,
		type: 'string',
		default: '',
		required: true,
		placeholder: placeholder ?? 'e.g. 0199c2a4-6f3e-7c1b-9d52-3f1f0c6b8a11',
		description: id,
	};
}

function paramsOf(
	{ name, displayName: label }: INodeProperties,
	context: IExecuteFunctions,
	item: number,
): Record<string, string> {
	const place = { context, item, label, written: writtenIn(context, name) };
	const given = context.getNodeParameter(name, item);
	refuseEmptyParts(place, given, ['string', 'number']);
	return { [inSnakeCase(name)]: asText(place, given) };
}

/**
 * What a business key may be: a text or a number. Anything else would name different occasions alike.
 *
 * An expression that gives nothing at all is refused, too; nodes of version 1 take it for no key, as they always did.
 */
export function readBusinessKey(value: unknown, place: Place): string | undefined {
	const { context, label, written } = place;
	if (isNothing(value)) {
		if (!isExpression(written) || context.getNode().typeVersion < 1.1) return undefined;
	}
	refuseEmptyParts(place, value, ['string', 'number']);
	if (isNothing(value)) return undefined;
	const isNumber = typeof value === 'number' && Number.isFinite(value);
	if (typeof value !== 'string' && !isNumber) {
		throw refuse(
			place,
			`"${label}" is ${nameOf(value)}, not a text or a number`,
			`It is ${shown(value)} for this item, which would name different occasions alike.`,
		);
	}
	return String(value).trim();
}

/** The values of the fields that are shown, by name, those of collections among them. */
export function readFields(
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

function toWire(
	context: IExecuteFunctions,
	item: number,
	fields: INodeProperties[],
	given: IDataObject,
	converted: string[] = [],
): IDataObject {
	const wire: IDataObject = {};
	for (const { name, type, displayName, required } of fields) {
		if (!(name in given)) continue;
		let value: unknown = given[name];
		const place = { context, item, label: displayName, written: undefined };
		if (!converted.includes(name)) value = byType(type, value, place);
		if (required || !isEmpty(value)) wire[inSnakeCase(name)] = value as IDataObject;
	}
	return wire;
}

function byType(type: string, value: unknown, place: Place): unknown {
	if (type === 'json') return readJsonObject(place.context, place.item, place.label, value);
	if (type === 'number') return asNumber(place, value);
	if (type === 'boolean') return asBoolean(place, value);
	if (type === 'dateTime') return asTime(place, value);
	return asText(place, value);
}

function isEmpty(value: unknown): boolean {
	return Array.isArray(value) ? value.length === 0 : isNothing(value);
}

function leavesOf(fields: INodeProperties[]): INodeProperties[] {
	return fields.flatMap((field) =>
		field.type === 'collection' ? ((field.options ?? []) as INodeProperties[]) : [field],
	);
}

function wireNames(fields: INodeProperties[]): string[] {
	// A field may have two shapes, of which one is shown.
	return [...new Set(fields.map(({ name }) => inSnakeCase(name)))];
}
