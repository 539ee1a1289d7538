import type { INodeProperties } from 'n8n-workflow';
import { fieldsOf } from '../../shared/operation';
import * as call from './call';

export const operations = { call };

export const properties: INodeProperties[] = [
	{
		displayName: 'Operation',
		name: 'operation',
		type: 'options',
		noDataExpression: true,
		displayOptions: { show: { resource: ['customApiCall'] } },
		options: [
			{
				// The name keeps n8n from adding its own entry, which would lead away to the HTTP Request node.
				name: 'Custom API Call',
				value: 'call',
				description: 'Call any path of the API with this credential',
				action: 'Make a custom API call',
			},
		],
		default: 'call',
	},
	...fieldsOf('customApiCall', operations),
];
