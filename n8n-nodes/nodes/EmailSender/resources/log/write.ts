import type {
	IDataObject,
	IExecuteFunctions,
	INodeProperties,
	INodePropertyOptions,
} from 'n8n-workflow';
import { NodeApiError, NodeOperationError } from 'n8n-workflow';
import { readFields } from '../../shared/calls';
import { readJsonObject } from '../../shared/json';
import { inOrder, type Open, type Operation, type Outcome } from '../../shared/operation';
import type { Api } from '../../shared/transport';
import { asText, asTime, type Place, refuse, writtenIn } from '../../shared/values';

/** Less than the API takes in one request unless it is told otherwise. */
const MOST_LINES = 5_000;
const MOST_CHARACTERS = 4_000_000;

/** By the name that the API looks for, what else it takes for the same. */
const NAMES: Record<string, string[]> = {
	'service.name': ['source'],
	'trace.id': ['trace_id'],
	'span.id': ['span_id'],
	'http.request.id': ['request_id'],
	'workflow.id': ['workflow_id'],
	'execution.id': ['execution_id'],
};

/** Why a line was not kept, and what to do, by the code of the API. */
const REFUSED: Record<string, string> = {
	invalid_name: 'A source or an ID is no text, or longer than 200 characters',
	invalid_time: 'Its time is no RFC 3339 with a zone, such as 2026-01-31T08:00:00Z',
	no_message: 'It has no message, or an empty one',
	time_out_of_range: 'Its time is before the year 2000 or more than a day ahead',
	too_deep: 'Its data is nested deeper than 16 levels',
	too_long: 'It is longer than Email Sender takes, which is 32 KiB unless set otherwise',
	unknown_level: 'Its level is none of trace, debug, info, warn, error, fatal',
	unsound_text: 'It has the character U+0000 in it',
};

export const levels: INodePropertyOptions[] = [
	{ name: 'Debug', value: 'debug' },
	{ name: 'Error', value: 'error' },
	{ name: 'Fatal', value: 'fatal' },
	{ name: 'Info', value: 'info' },
	{ name: 'Trace', value: 'trace' },
	{ name: 'Warn', value: 'warn' },
];

const options: INodeProperties[] = [
	{
		displayName: 'Execution ID',
		name: 'executionId',
		type: 'string',
		default: '',
		description: 'The execution that the line is about; this one when left out',
	},
	{
		displayName: 'Pass Input Through',
		name: 'passInput',
		type: 'boolean',
		default: false,
		description:
			'Whether the input item comes out as it came in, so that the node may stand in between',
	},
	{
		displayName: 'Request ID',
		name: 'requestId',
		type: 'string',
		default: '',
		description: 'The request to Email Sender that the line is about',
	},
	{
		displayName: 'Source',
		name: 'source',
		type: 'string',
		default: '',
		placeholder: 'shop',
		description: 'What program says it; the name of the workflow when left out',
	},
	{
		displayName: 'Span ID',
		name: 'spanId',
		type: 'string',
		default: '',
		description: 'The span of the trace that the line is about',
	},
	{
		displayName: 'Time',
		name: 'at',
		type: 'dateTime',
		default: '',
		description: 'When it happened; when the line is taken in, unless given',
	},
	{
		displayName: 'Trace ID',
		name: 'traceId',
		type: 'string',
		default: '',
		description: "The trace that the line is about; that of the node's own calls when left out",
	},
	{
		displayName: 'Workflow ID',
		name: 'workflowId',
		type: 'string',
		default: '',
		description: 'The workflow that the line is about; this one when left out',
	},
];

/** By the option, the name that the API looks for. */
const SAID: Record<string, string> = {
	executionId: 'execution.id',
	requestId: 'http.request.id',
	source: 'service.name',
	spanId: 'span.id',
	traceId: 'trace.id',
	workflowId: 'workflow.id',
};

const fields: INodeProperties[] = [
	{
		displayName: 'Line',
		name: 'lineFrom',
		type: 'options',
		noDataExpression: true,
		options: [
			{ name: 'From the Fields Below', value: 'fields' },
			{
				name: 'The Input Item Itself',
				value: 'item',
				description: 'Each item is a line as it is; it needs a message',
			},
		],
		default: 'fields',
		description: 'What a line is made of; each item makes one, and those of a run go together',
	},
	{
		displayName: 'Message',
		name: 'message',
		type: 'string',
		default: '',
		required: true,
		displayOptions: { show: { lineFrom: ['fields'] } },
		placeholder: 'Order 42 has no address',
	},
	{
		displayName: 'Level',
		name: 'level',
		type: 'options',
		displayOptions: { show: { lineFrom: ['fields'] } },
		options: levels,
		default: 'info',
	},
	{
		displayName: 'Data',
		name: 'data',
		type: 'json',
		default: '{}',
		displayOptions: { show: { lineFrom: ['fields'] } },
		description: 'JSON object that is kept beside the message, for example {"order": 42}',
	},
	{
		displayName: 'Options',
		name: 'options',
		type: 'collection',
		placeholder: 'Add Option',
		default: {},
		options,
	},
];

interface Ready {
	item: number;
	line: IDataObject;
	passesInput: boolean;
}

/** Each item makes a line; the lines of a run go in one request, and each item is told what became of its own. */
export const writeLog: Operation = {
	name: 'Write',
	action: 'Write log lines',
	description: 'Keep a log line for each item',
	route: 'POST /api/v1/logs',
	fields,
	async executeAll(context, items, open) {
		const prepared = await inOrder(context, items, async (item) =>
			prepare(context, item, open(item)),
		);
		const broken = prepared.find((one) => one instanceof Error);
		// One that fails ends the run: then no other line is kept either.
		if (broken && !context.continueOnFail())
			return prepared.map((one) => (one === broken ? broken : []));

		const outcomes: Outcome[] = prepared.map((one) => (one instanceof Error ? one : []));
		const ready = prepared.filter((one): one is Ready => !(one instanceof Error));
		for (const group of groupsOf(ready)) {
			const done = await keep(context, group, open);
			done.forEach((one, place) => (outcomes[group[place].item] = one));
			if (done.some((one) => one instanceof Error) && !context.continueOnFail()) break;
		}
		return outcomes;
	},
};

function prepare(context: IExecuteFunctions, item: number, api: Api): Ready {
	const given = readFields(context, item, fields);
	const own =
		given.lineFrom === 'item' ? context.getInputData()[item].json : read(context, item, given);
	const line: IDataObject = { ...own };
	for (const [option, name] of Object.entries(SAID)) {
		const place = placeOf(context, item, option);
		const text = asText(place, given[option]).trim();
		if (text) put(line, name, text);
	}
	const at = asTime(placeOf(context, item, 'at'), given.at);
	if (at) {
		delete line.timestamp;
		line['@timestamp'] = at;
	}
	for (const [name, usual] of Object.entries(usually(context, api))) {
		if (usual && !says(line, name)) line[name] = usual;
	}
	return { item, line, passesInput: given.passInput === true };
}

function read(context: IExecuteFunctions, item: number, given: IDataObject): IDataObject {
	const place = { context, item, label: 'Message', written: writtenIn(context, 'message') };
	const message = asText(place, given.message);
	if (!message.trim()) throw refuse(place, '"Message" is empty');
	const data = readJsonObject(context, item, 'Data', given.data);
	return { ...data, message, 'log.level': given.level };
}

function placeOf(context: IExecuteFunctions, item: number, option: string): Place {
	const label = String(options.find(({ name }) => name === option)?.displayName);
	return { context, item, label, written: writtenIn(context, 'options', option) };
}

/** What n8n says of this run; of one that was never saved it knows no ID. */
function usually(context: IExecuteFunctions, api: Api): Record<string, string | undefined> {
	const { id, name } = context.getWorkflow();
	return {
		'service.name': name?.slice(0, 200),
		'workflow.id': id,
		'execution.id': context.getExecutionId(),
		'trace.id': api.traceId,
	};
}

/** Whether a line says something itself, under any of the names that the API looks for. */
function says(line: IDataObject, name: string): boolean {
	const nested = name
		.split('.')
		.reduce<unknown>((holder, step) => (holder as IDataObject | undefined)?.[step], line);
	return [nested, ...[name, ...NAMES[name]].map((one) => line[one])].some(
		(value) => value !== undefined && value !== null && value !== '',
	);
}

/** Says it in the place of whatever the line says. */
function put(line: IDataObject, name: string, text: string): void {
	for (const other of NAMES[name]) delete line[other];
	line[name] = text;
}

function groupsOf(all: Ready[]): Ready[][] {
	const groups: Ready[][] = [];
	let characters = 0;
	for (const one of all) {
		const length = JSON.stringify(one.line).length;
		const open = groups[groups.length - 1];
		if (open && open.length < MOST_LINES && characters + length <= MOST_CHARACTERS) {
			open.push(one);
			characters += length;
		} else {
			groups.push([one]);
			characters = length;
		}
	}
	return groups;
}

/** Sends lines in one request; an answer about all of them is each one's, a refused line is its item's alone. */
async function keep(context: IExecuteFunctions, group: Ready[], open: Open): Promise<Outcome[]> {
	const api = open(group[0].item, `lines.${group.map(({ item }) => item).join()}`);
	let answer: IDataObject;
	try {
		answer = await api.object({ route: writeLog.route, lines: group.map(({ line }) => line) });
	} catch (error) {
		return group.map(() => error as Error);
	}
	const refused = new Map(
		((answer.refused ?? []) as IDataObject[]).map(({ line, code }) => [line, String(code)]),
	);
	const kept = group.length - refused.size;
	if (answer.accepted !== kept) {
		const error = new NodeOperationError(
			context.getNode(),
			`Email Sender was sent ${group.length} lines and answered for ${String(answer.accepted)}`,
			{ itemIndex: group[0].item },
		);
		return group.map(() => error);
	}
	return group.map(({ item, line, passesInput }, place) => {
		const code = refused.get(place + 1);
		if (code !== undefined) return explain(context, item, code, kept);
		return [passesInput ? context.getInputData()[item].json : { kept: true, ...line }];
	});
}

function explain(
	context: IExecuteFunctions,
	item: number,
	code: string,
	kept: number,
): NodeApiError {
	const others =
		kept > 0
			? `${kept} other ${kept === 1 ? 'line was' : 'lines were'} kept, and will not be kept twice by Retry On Fail.`
			: undefined;
	const description = [REFUSED[code], others, `Code: ${code}`].filter(Boolean).join('\n');
	const error = new NodeApiError(
		context.getNode(),
		{ response: { data: { code } } },
		{ message: 'The log line was not kept', description, itemIndex: item },
	);
	error.httpCode = null;
	return error;
}
