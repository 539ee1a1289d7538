import type { INodeProperties } from 'n8n-workflow';
import { pages } from '../../shared/calls';
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

export const log: Resource = {
	name: 'Log',
	value: 'log',
	default: 'write',
	operations: {
		search: pages({
			route: 'GET /api/v1/logs',
			action: 'Search log lines',
			description: 'Find log lines, the latest first',
			filters: [
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
			],
		}),
		write: writeLog,
	},
};
