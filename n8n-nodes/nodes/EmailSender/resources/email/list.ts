import type { IDataObject, IExecuteFunctions, INodeProperties } from 'n8n-workflow';
import { NodeOperationError } from 'n8n-workflow';
import type { Api } from '../../shared/transport';

export const route = 'GET /api/v1/emails';

const LARGEST_PAGE = 200;

export const fields: INodeProperties[] = [
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
	{
		displayName: 'Filters',
		name: 'filters',
		type: 'collection',
		placeholder: 'Add Filter',
		default: {},
		options: [
			{
				displayName: 'Recipient',
				name: 'recipient',
				type: 'string',
				default: '',
				placeholder: 'ada@example.com',
				description: 'Only e-mails to this address, whether as To, CC or BCC',
			},
			{
				displayName: 'State',
				name: 'state',
				type: 'options',
				options: [
					{ name: 'Accepted', value: 'accepted' },
					{ name: 'Bounced', value: 'bounced' },
					{ name: 'Cancelled', value: 'cancelled' },
					{ name: 'Deferred', value: 'deferred' },
					{ name: 'Partial', value: 'partial' },
					{ name: 'Queued', value: 'queued' },
					{ name: 'Sending', value: 'sending' },
				],
				default: 'accepted',
				description: 'Only e-mails in this state',
			},
		],
	},
];

export async function execute(
	context: IExecuteFunctions,
	item: number,
	api: Api,
): Promise<IDataObject[]> {
	const returnAll = context.getNodeParameter('returnAll', item) as boolean;
	const wanted = returnAll ? Infinity : (context.getNodeParameter('limit', item) as number);
	const { recipient, state } = context.getNodeParameter('filters', item) as IDataObject;

	const emails: IDataObject[] = [];
	const seen = new Set<unknown>();
	let cursor: unknown;
	do {
		const query: IDataObject = { limit: Math.min(wanted - emails.length, LARGEST_PAGE) };
		if (recipient) query.recipient = recipient;
		if (state) query.state = state;
		if (cursor) query.cursor = cursor as string;

		const page = await api.object({ route, query });
		emails.push(...((page.items ?? []) as IDataObject[]));

		cursor = page.next_cursor;
		// A cursor that comes back would turn Return All into an endless loop over the same page.
		if (cursor && seen.has(cursor)) {
			throw new NodeOperationError(
				context.getNode(),
				'The list does not end: a cursor was repeated',
				{
					itemIndex: item,
				},
			);
		}
		seen.add(cursor);
	} while (cursor && emails.length < wanted);

	return returnAll ? emails : emails.slice(0, wanted);
}
