import type { INodeProperties } from 'n8n-workflow';
import { fieldsOf } from '../../shared/operation';
import * as get from './get';
import * as list from './list';
import * as send from './send';

export const operations = { get, list, send };

export const properties: INodeProperties[] = [
	{
		displayName: 'Operation',
		name: 'operation',
		type: 'options',
		noDataExpression: true,
		displayOptions: { show: { resource: ['email'] } },
		options: [
			{
				name: 'Get',
				value: 'get',
				description: 'Get an e-mail with the state of each recipient and its timeline',
				action: 'Get an email',
			},
			{
				name: 'List',
				value: 'list',
				description: 'List e-mails, newest first',
				action: 'List emails',
			},
			{
				name: 'Send',
				value: 'send',
				description: 'Send an e-mail, at most once per business key',
				action: 'Send an email',
			},
		],
		default: 'send',
	},
	...fieldsOf('email', operations),
];
