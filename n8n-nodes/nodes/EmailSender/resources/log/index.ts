import type { INodeProperties } from 'n8n-workflow';
import { ask, pages } from '../../shared/calls';
import type { Resource } from '../../shared/operation';
import { levels, writeLog } from './write';

function exactly(displayName: string, name: string, what: string): INodeProperties {
	return {
		displayName,
		name,
		type: 'string',
		default: '',
		description: `Only lines of this ${what}, exactly`,
	};
}

const lines: INodeProperties[] = [
	{
		displayName: 'After',
		name: 'after',
		type: 'dateTime',
		default: '',
		description: 'Only what happened then or later',
	},
	{
		displayName: 'Before',
		name: 'before',
		type: 'dateTime',
		default: '',
		description: 'Only what happened earlier than that',
	},
	exactly('Execution ID', 'executionId', 'execution'),
	{
		displayName: 'Level',
		name: 'level',
		type: 'options',
		options: levels,
		default: 'warn',
		description: 'Only lines of this level or a higher one',
	},
	exactly('Request ID', 'requestId', 'request'),
	exactly('Source', 'source', 'source'),
	exactly('Trace ID', 'traceId', 'trace'),
	{
		displayName: 'Words',
		name: 'words',
		type: 'string',
		default: '',
		placeholder: 'payment failed',
		description:
			'Only messages with these words: "payment failed" in quotes one after the other, pay* as a beginning, -retry not',
	},
];

export const log: Resource = {
	name: 'Log',
	value: 'log',
	default: 'write',
	operations: {
		patterns: ask({
			name: 'Get Patterns',
			route: 'GET /api/v1/logs/patterns',
			action: 'Get patterns of log lines',
			description: 'Find what log lines of the last day have in common, and what is new of it',
			filters: [
				...lines,
				{
					displayName: 'Limit',
					name: 'limit',
					type: 'number',
					typeOptions: { minValue: 1, maxValue: 200 },
					default: 50,
					description: 'Max number of results to return',
				},
				{
					displayName: 'New',
					name: 'new',
					type: 'boolean',
					default: false,
					description: 'Whether to leave out what lines before the stretch of time were like',
				},
			],
		}),
		search: pages({
			route: 'GET /api/v1/logs',
			action: 'Search log lines',
			description: 'Find log lines, the latest first',
			filters: lines,
		}),
		write: writeLog,
	},
};
