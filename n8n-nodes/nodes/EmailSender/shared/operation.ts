/** What resources and operations are, how the editor shows them, and how the node runs one for each input item. */
import type {
	IDataObject,
	IDisplayOptions,
	IExecuteFunctions,
	INodeExecutionData,
	INodeProperties,
	JsonObject,
} from 'n8n-workflow';
import { NodeApiError, NodeOperationError } from 'n8n-workflow';
import { inTitleCase } from './names';
import type { Api } from './transport';
import { isToolRun, openApi } from './transport';

export interface Operation {
	/** What the list of operations says; the operation's own value, in words, when left out. */
	name?: string;
	/** What the list of actions says: "Send an email". */
	action: string;
	description: string;
	/** The operation of the OpenAPI document that this one calls: `METHOD /path/{parameter}`. */
	route: string;
	/** What a builder must know before the first field. */
	notice?: string;
	/** What it calls for several items at once, and the property that holds them. */
	batch?: { route: string; body: string[] };
	/** What it asks for first, where that finds the thing. */
	lookup?: { route: string; query: string[] };
	/** Names of the query parameters and of the body's properties that it may send. */
	query?: string[];
	body?: string[];
	fields: INodeProperties[];
	/** Returns the items that come out for one input item; called for one after the other. */
	execute?(context: IExecuteFunctions, item: number, api: Api): Promise<IDataObject[]>;
	/** In its stead, for all input items at once; a place for each item, in order. */
	executeAll?(context: IExecuteFunctions, items: number[], open: Open): Promise<Outcome[]>;
}

/** The API for one item; for what is asked in the name of several, `purpose` tells it from what the first asks for itself. */
export type Open = (item: number, purpose?: string) => Api;

/** The items that come out for one input item, or what it failed with. */
export type Outcome = IDataObject[] | Error;

export interface Resource {
	/** What the list of resources says. */
	name: string;
	/** What workflows are saved with. */
	value: string;
	/** By the value that workflows are saved with. */
	operations: Record<string, Operation>;
	/** The operation that is chosen at first. */
	default: string;
}

/** The choice of a resource, for each the choice of an operation, and the fields, each shown for its operation only. */
export function propertiesOf(resources: Resource[]): INodeProperties[] {
	const [{ value: first }] = resources;
	return [
		{
			displayName: 'Resource',
			name: 'resource',
			type: 'options',
			noDataExpression: true,
			options: resources.map(({ name, value }) => ({ name, value })),
			default: first,
		},
		...resources.flatMap(operationsOf),
	];
}

function operationsOf({ value: resource, operations, default: chosen }: Resource) {
	const choice: INodeProperties = {
		displayName: 'Operation',
		name: 'operation',
		type: 'options',
		noDataExpression: true,
		displayOptions: { show: { resource: [resource] } },
		options: Object.entries(operations).map(([value, { name, description, action }]) => ({
			name: name ?? inTitleCase(value),
			value,
			description,
			action,
		})),
		default: chosen,
	};
	const fields = Object.entries(operations).flatMap(([operation, declared]) =>
		[...noticeOf(declared), ...declared.fields].map((field) => {
			const displayOptions: IDisplayOptions = {
				...field.displayOptions,
				show: { ...field.displayOptions?.show, resource: [resource], operation: [operation] },
			};
			return { ...field, displayOptions };
		}),
	);
	return [choice, ...fields];
}

function noticeOf({ notice }: Operation): INodeProperties[] {
	return notice ? [{ displayName: notice, name: 'notice', type: 'notice', default: '' }] : [];
}

/**
 * Runs the chosen operation for every input item; what comes out is in their order.
 *
 * With "On Error: Continue" a failed item comes out as its error and the others still run.
 *
 * @throws NodeApiError | NodeOperationError for the first item that fails otherwise
 */
export async function runForEachItem(
	context: IExecuteFunctions,
	resources: Resource[],
	open = openApi,
): Promise<INodeExecutionData[][]> {
	const items = context.getInputData().map((_, item) => item);
	if (items.length === 0) return [[]];
	const bind = open(context);
	// Neither can be an expression: what one item says holds for all.
	const resource = context.getNodeParameter('resource', 0) as string;
	const operation = context.getNodeParameter('operation', 0) as string;
	const chosen = resources.find(({ value }) => value === resource)?.operations[operation];
	const name = `${resource}.${operation}`;
	const outcomes = chosen?.executeAll
		? await chosen.executeAll(context, items, (item, purpose) =>
				bind(item, purpose ? `${name}.${purpose}` : name),
			)
		: await inOrder(context, items, async (item) => {
				if (chosen?.execute) return await chosen.execute(context, item, bind(item, name));
				throw new NodeOperationError(
					context.getNode(),
					`There is no operation "${operation}" on "${resource}"`,
				);
			});

	const output: INodeExecutionData[] = [];
	for (const [item, outcome] of outcomes.entries()) {
		const pairedItem = { item };
		if (!(outcome instanceof Error)) {
			output.push(...outcome.map((json) => ({ json, pairedItem })));
			continue;
		}
		const error = asNodeError(context, item, outcome);
		// An agent is told the message of an error and nothing else of it.
		if (isToolRun(context) && error.description)
			error.message = `${error.message}: ${error.description}`;
		if (!context.continueOnFail()) throw error;
		output.push({ json: describe(error), pairedItem });
	}
	return [output];
}

/** Does something for each item, one after the other; ends with the first failure unless failures are to be collected. */
export async function inOrder<T>(
	context: IExecuteFunctions,
	items: number[],
	work: (item: number) => Promise<T>,
): Promise<Array<T | Error>> {
	const outcomes: Array<T | Error> = [];
	for (const item of items) {
		try {
			outcomes.push(await work(item));
		} catch (thrown) {
			outcomes.push(asNodeError(context, item, thrown));
			if (!context.continueOnFail()) break;
		}
	}
	return outcomes;
}

function asNodeError(
	context: IExecuteFunctions,
	item: number,
	thrown: unknown,
): NodeApiError | NodeOperationError {
	if (thrown instanceof NodeApiError) {
		return new NodeApiError(context.getNode(), thrown as unknown as JsonObject, {
			itemIndex: item,
		});
	}
	return new NodeOperationError(context.getNode(), thrown as Error, { itemIndex: item });
}

/**
 * A failed item.
 *
 * n8n sends an item to the error output when it has no other keys than these three. The item's own `error` field would
 * do the same, but makes n8n throw away everything except the message.
 */
function describe(error: NodeApiError | NodeOperationError): IDataObject {
	const { code, request_id, errors } = (error.context.data ?? {}) as IDataObject;
	const status =
		error instanceof NodeApiError && error.httpCode ? Number(error.httpCode) : undefined;
	const details = Object.entries({ status, code, request_id, errors }).filter(
		([, value]) => value !== undefined,
	);
	return {
		error: error.message,
		...(error.description ? { message: error.description } : {}),
		...(details.length > 0 ? { details: Object.fromEntries(details) } : {}),
	};
}
