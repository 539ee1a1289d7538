/** What went wrong, as n8n shows it: the words of the API's problems, and the next step where there was no answer. */
import type { FunctionsBase, IDataObject, IHttpRequestOptions, JsonObject } from 'n8n-workflow';
import { NodeApiError, NodeOperationError } from 'n8n-workflow';
import { adviceFor, connectionCode, readBaseUrl, UNAUTHORIZED } from './server';

/** Whose error it is: the node, in an execution or around one. */
type Node = Pick<FunctionsBase, 'getNode'>;

export interface Problem extends IDataObject {
	title?: string;
	detail?: string;
	code?: string;
	request_id?: string;
	errors?: IDataObject[];
}

/** The address in a credential; one that is none is an error. */
export function baseUrl(context: Node, item: number | undefined, value: unknown): string {
	const url = readBaseUrl(value);
	if (url !== undefined) return url;
	throw new NodeOperationError(
		context.getNode(),
		"The credential's Base URL is not an http(s) address",
		{
			description: `It reads "${String(value ?? '')}"; expected something like https://email.example.com`,
			itemIndex: item,
		},
	);
}

/** What a request without an answer failed with. */
export function explainThrown(
	context: Node,
	item: number | undefined,
	{ url }: IHttpRequestOptions,
	error: JsonObject,
): NodeApiError | NodeOperationError {
	if (error instanceof NodeOperationError) return error;
	if (error instanceof NodeApiError && error.httpCode === '401') {
		const { data } = error.context;
		return problemError(context, item, 401, data, undefined, [UNAUTHORIZED]);
	}
	// No answer at all: refused, timed out, cancelled, or no token to be had. n8n has words for each of these.
	const original =
		error instanceof NodeApiError ? error : new NodeApiError(context.getNode(), error);
	const known = original.description && original.message.includes(original.description);
	const description = [
		known ? undefined : original.description,
		adviceFor(connectionCode(error)),
		`While calling ${new URL(url).origin}`,
	];
	return new NodeApiError(
		context.getNode(),
		error instanceof Error ? { cause: error.message } : error,
		{
			message: original.message,
			description: description.filter(Boolean).join('\n'),
			httpCode: original.httpCode ?? undefined,
			itemIndex: item,
		},
	);
}

/** A problem of the API (RFC 9457) as an error of the node. */
export function problemError(
	context: Node,
	item: number | undefined,
	status: number | undefined,
	body: unknown,
	requestId: unknown,
	notes: string[],
): NodeApiError {
	const isProblem = typeof body === 'object' && body !== null;
	const problem: Problem = isProblem ? { ...(body as Problem) } : {};
	if (!problem.request_id && typeof requestId === 'string') problem.request_id = requestId;
	const lines = [
		problem.detail ?? (typeof body === 'string' ? body.slice(0, 300).trim() : ''),
		...(Array.isArray(problem.errors) ? problem.errors : []).map(
			({ pointer, detail }) => `${String(pointer)}: ${inPlainWords(String(detail))}`,
		),
		...notes,
		[
			problem.code && `Code: ${problem.code}`,
			status !== undefined && `Status: ${status}`,
			problem.request_id && `Request: ${problem.request_id}`,
		]
			.filter(Boolean)
			.join(' · '),
	];
	// n8n keeps what stands under `response.data` with the error, where the execution view shows it.
	const response = { data: { ...problem, ...(status === undefined ? {} : { status }) } };
	const error = new NodeApiError(context.getNode(), { response } as JsonObject, {
		message: problem.title ?? `Email Sender answered with status ${status}`,
		description: lines.filter(Boolean).join('\n'),
		httpCode: String(status),
		itemIndex: item,
	});
	// n8n would take the problem's code for it.
	if (status === undefined) error.httpCode = null;
	return error;
}

/** What a validation library says, as people would. */
function inPlainWords(detail: string): string {
	return WORDS.reduce((text, [said, meant]) => text.replace(said, meant), detail);
}

const WORDS: Array<[RegExp, string]> = [
	[/^Value error, /, ''],
	[/^Input should be a valid string$/, 'must be a text'],
	[/^Input should be a valid (integer|number)\b.*/, 'must be a number'],
	[/^Input should be a valid (dictionary|object)\b.*/, 'must be an object'],
	[/^Input should be a valid list$/, 'must be a list'],
	[/^Input should be a valid boolean\b.*/, 'must be true or false'],
	[/^Input should be a valid (date\w*)\b.*/, 'must be a $1'],
	[/^Input should be /, 'must be '],
	[/^Field required$/, 'is missing'],
	[/^Extra inputs are not permitted$/, 'is not known here'],
	[/^(?:String|Value|List|Dictionary) should have at most (\d+) (\w+).*/, 'may have $1 $2 at most'],
	[/^(?:String|Value|List|Dictionary) should have at least (\d+) (\w+).*/, 'needs $1 $2 at least'],
	[/^String should match pattern .*/, 'is not of the right form'],
];
