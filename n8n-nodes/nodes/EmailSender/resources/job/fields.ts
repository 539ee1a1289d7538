import type { INodeProperties } from 'n8n-workflow';

export const jobId: INodeProperties = {
	displayName: 'Job ID',
	name: 'jobId',
	type: 'string',
	default: '',
	required: true,
	placeholder: 'e.g. 0199c2a4-6f3e-7c1b-9d52-3f1f0c6b8a11',
	description: 'The ID of the job; an e-mail names its own as job_id',
};
