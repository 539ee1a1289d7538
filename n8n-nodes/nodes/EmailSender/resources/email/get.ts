import type { IDataObject, IExecuteFunctions, INodeProperties } from 'n8n-workflow';
import type { Api } from '../../shared/transport';

export const route = 'GET /api/v1/emails/{id}';

export const fields: INodeProperties[] = [
	{
		displayName: 'Email ID',
		name: 'emailId',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'e.g. 0199c2a4-6f3e-7c1b-9d52-3f1f0c6b8a11',
		description: 'The ID that Send or List gave',
	},
];

export async function execute(
	context: IExecuteFunctions,
	item: number,
	api: Api,
): Promise<IDataObject[]> {
	const id = context.getNodeParameter('emailId', item) as string;
	return [await api.object({ route, params: { id } })];
}
