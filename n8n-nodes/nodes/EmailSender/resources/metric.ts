import type { IDataObject, INodeProperties } from 'n8n-workflow';
import { ask } from '../shared/calls';
import { labelsOf, readJsonObject } from '../shared/json';
import type { Operation, Resource } from '../shared/operation';
import { asNumber, asText, refuse } from '../shared/values';

const metricName: INodeProperties = {
	displayName: 'Metric Name',
	name: 'name',
	type: 'string',
	default: '',
	required: true,
	placeholder: 'orders_total',
	description: 'Letters, digits, underscores and colons, as Prometheus has names',
};

const record: Operation = {
	route: 'POST /api/v1/metrics',
	action: 'Record a metric',
	description: 'Record an observation of a counter, a gauge or a histogram',
	body: ['items'],
	fields: [
		metricName,
		{
			displayName: 'Kind',
			name: 'kind',
			type: 'options',
			options: [
				{ name: 'Counter', value: 'counter', description: 'Grows by the value' },
				{ name: 'Gauge', value: 'gauge', description: 'Stands at the value' },
				{ name: 'Histogram', value: 'histogram', description: 'Quantiles of all values are kept' },
			],
			default: 'counter',
			description: 'What the metric is; all its series are, for ever',
		},
		{
			displayName: 'Value',
			name: 'value',
			type: 'number',
			default: 1,
			required: true,
			description: 'What was observed; of a counter what it grew by',
		},
		{
			displayName: 'Labels',
			name: 'labels',
			type: 'json',
			default: '{}',
			placeholder: '{"shop": "berlin"}',
			description: 'What tells this series from others of the metric, few values each; no IDs',
		},
	],
	async execute(context, item, api) {
		const place = (label: string) => ({ context, item, label, written: undefined });
		const read = (name: string) => context.getNodeParameter(name, item);
		const value = asNumber(place('Value'), read('value'));
		if (value === undefined) throw refuse(place('Value'), '"Value" is nothing');
		const observed: IDataObject = {
			name: asText(place('Metric Name'), read('name')).trim(),
			kind: asText(place('Kind'), read('kind')),
			value,
			labels: labelsOf(readJsonObject(context, item, 'Labels', read('labels'))),
		};
		const { route } = record;
		await api.object({ route, body: { items: [observed] } });
		return [observed];
	},
};

export const metric: Resource = {
	name: 'Metric',
	value: 'metric',
	default: 'record',
	operations: {
		query: ask({
			route: 'GET /api/v1/metrics/query',
			action: 'Query a metric',
			description: 'Ask what a metric came to over a window of time',
			fields: [
				metricName,
				{
					displayName: 'Aggregate',
					name: 'aggregate',
					type: 'options',
					options: [
						{ name: 'Average', value: 'avg' },
						{ name: 'Count', value: 'count' },
						{ name: 'Last', value: 'last' },
						{ name: 'Maximum', value: 'max' },
						{ name: 'Minimum', value: 'min' },
						{ name: 'Quantile', value: 'quantile' },
						{ name: 'Rate', value: 'rate', description: 'A second' },
						{ name: 'Sum', value: 'sum' },
					],
					default: 'sum',
					description: 'What becomes of several observations',
				},
			],
			filters: [
				{
					displayName: 'By Label',
					name: 'by',
					type: 'string',
					default: '',
					placeholder: 'shop',
					description: 'A line for each value of this label',
				},
				{
					displayName: 'Label',
					name: 'label',
					type: 'string',
					default: '',
					placeholder: 'shop=berlin',
					description: 'Only series whose label has this value',
				},
				{
					displayName: 'Points',
					name: 'points',
					type: 'number',
					typeOptions: { minValue: 1, maxValue: 2000 },
					default: 500,
					description: 'How many a line has at most',
				},
				{
					displayName: 'Quantile',
					name: 'quantile',
					type: 'number',
					typeOptions: { minValue: 0, maxValue: 1, numberPrecision: 4 },
					default: 0.95,
					description: 'Which one, from 0 to 1, for the aggregate of this name',
				},
				{
					displayName: 'Since',
					name: 'since',
					type: 'dateTime',
					default: '',
					description: 'When the window begins; a day before its end unless given',
				},
				{
					displayName: 'Top',
					name: 'top',
					type: 'number',
					typeOptions: { minValue: 1, maxValue: 100 },
					default: 20,
					description: 'How many lines at most, the greatest first',
				},
				{
					displayName: 'Until',
					name: 'until',
					type: 'dateTime',
					default: '',
					description: 'When the window ends; now unless given',
				},
				{
					displayName: 'With Week Before',
					name: 'withWeekBefore',
					type: 'boolean',
					default: false,
					description: 'Whether the same of the week before is given beside it',
				},
			],
		}),
		record,
	},
};
