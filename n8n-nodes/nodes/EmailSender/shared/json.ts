import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';
import { NodeOperationError } from 'n8n-workflow';

/** Reads a JSON field, which holds text when typed and an object when an expression gave one; empty reads as `{}`. */
export function readJsonObject(
	context: IExecuteFunctions,
	item: number,
	field: string,
	value: unknown,
): IDataObject {
	const parsed = readJson(context, item, field, value);
	if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
		return parsed as IDataObject;
	}
	throw new NodeOperationError(context.getNode(), `"${field}" is not a JSON object`, {
		description: 'Expected something like {"name": "Ada"}',
		itemIndex: item,
	});
}

/** As `readJsonObject`, but any JSON value will do. */
export function readJson(
	context: IExecuteFunctions,
	item: number,
	field: string,
	value: unknown,
): unknown {
	if (typeof value !== 'string') return value ?? {};
	if (value.trim() === '') return {};
	try {
		return JSON.parse(value);
	} catch (error) {
		throw new NodeOperationError(context.getNode(), `"${field}" is not JSON`, {
			description: (error as Error).message,
			itemIndex: item,
		});
	}
}

/** Labels are texts; an expression may have given numbers. */
export function labelsOf(given: IDataObject): IDataObject {
	return Object.fromEntries(
		Object.entries(given)
			.filter(([, value]) => value !== null && value !== undefined && value !== '')
			.map(([name, value]) => [name, String(value)]),
	);
}
