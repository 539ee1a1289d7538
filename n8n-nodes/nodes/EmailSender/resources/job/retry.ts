import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';
import type { Api } from '../../shared/transport';
import { jobId } from './fields';

export const route = 'POST /api/v1/jobs/{id}/retry';

export const fields = [jobId];

export async function execute(
	context: IExecuteFunctions,
	item: number,
	api: Api,
): Promise<IDataObject[]> {
	const id = context.getNodeParameter('jobId', item) as string;
	return [await api.object({ route, params: { id } })];
}
