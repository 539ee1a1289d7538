import type { INodeProperties } from 'n8n-workflow';
import { fieldsOf } from '../../shared/operation';
import * as cancel from './cancel';
import * as get from './get';
import * as retry from './retry';

export const operations = { cancel, get, retry };

export const properties: INodeProperties[] = [
	{
		displayName: 'Operation',
		name: 'operation',
		type: 'options',
		noDataExpression: true,
		displayOptions: { show: { resource: ['job'] } },
		options: [
			{
				name: 'Cancel',
				value: 'cancel',
				description: 'Cancel a job that has not finished',
				action: 'Cancel a job',
			},
			{
				name: 'Get',
				value: 'get',
				description: 'Get the state of a job',
				action: 'Get a job',
			},
			{
				name: 'Retry',
				value: 'retry',
				description: 'Run a dead job once more',
				action: 'Retry a job',
			},
		],
		default: 'get',
	},
	...fieldsOf('job', operations),
];
