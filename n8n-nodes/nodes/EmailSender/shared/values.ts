/**
 * What fields hold, made into what the API takes: an expression may give a number where a text is asked for, or nothing.
 *
 * What comes out empty is told from what was left empty: only an expression can mean something and give nothing.
 */
import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';
import { ExpressionParser, NodeOperationError, tryToParseDateTime } from 'n8n-workflow';

/** Where a value stands: for which item, in which field, and what the builder wrote there. */
export interface Place {
	context: IExecuteFunctions;
	item: number;
	/** What the editor calls the field. */
	label: string;
	/** The parameter as it is saved: an expression begins with "=". */
	written: unknown;
}

export function refuse({ context, item }: Place, message: string, description?: string) {
	return new NodeOperationError(context.getNode(), message, { itemIndex: item, description });
}

/** What the builder wrote into a field, before n8n evaluated it. */
export function writtenIn(context: IExecuteFunctions, ...path: string[]): unknown {
	let value: unknown = context.getNode().parameters;
	for (const name of path) {
		// A whole collection may be one expression, whose children are then all made by it.
		if (isExpression(value)) return value;
		value = (value as IDataObject | undefined)?.[name];
	}
	return value;
}

export function isExpression(written: unknown): written is string {
	return typeof written === 'string' && written.startsWith('=');
}

export function isNothing(value: unknown): boolean {
	return (
		value === undefined ||
		value === null ||
		Number.isNaN(value) ||
		(typeof value === 'string' && value.trim() === '')
	);
}

/** Texts, numbers and booleans as text, a time in ISO 8601, nothing as ''. Objects and lists have no text of their own. */
export function asText(place: Place, value: unknown): string {
	if (isNothing(value)) return typeof value === 'string' ? value : '';
	if (typeof value === 'string') return value;
	if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') {
		return String(value);
	}
	const { toISO, toISOString } = value as { toISO?: () => string; toISOString?: () => string };
	if (typeof toISO === 'function') return toISO.call(value);
	if (typeof toISOString === 'function') return toISOString.call(value);
	throw refuse(
		place,
		`"${place.label}" is ${nameOf(value)}, not a text`,
		'Take one of its fields in the expression, or make a text of it with .toJsonString()',
	);
}

/** A number, also when it is written as text; `undefined` for nothing. */
export function asNumber(place: Place, value: unknown): number | undefined {
	if (isNothing(value)) return undefined;
	const number = typeof value === 'string' ? Number(value) : value;
	if (typeof number === 'number' && Number.isFinite(number)) return number;
	throw refuse(place, `"${place.label}" is not a number: ${shown(value)}`);
}

/** A boolean, also when it is written as text; `undefined` for nothing. */
export function asBoolean(place: Place, value: unknown): boolean | undefined {
	if (isNothing(value)) return undefined;
	if (typeof value === 'boolean') return value;
	if (value === 'true' || value === 1) return true;
	if (value === 'false' || value === 0) return false;
	throw refuse(place, `"${place.label}" is neither true nor false: ${shown(value)}`);
}

/**
 * A time in RFC 3339, in UTC; `undefined` for nothing.
 *
 * What is written without an offset is meant in the time zone of the workflow, as n8n shows it. A number is refused:
 * whether it counts seconds or milliseconds nobody can tell.
 */
export function asTime(place: Place, value: unknown): string | undefined {
	if (isNothing(value)) return undefined;
	const { context, label } = place;
	const text = typeof value === 'object' ? undefined : String(value).trim();
	const [day] = /^\d{4}-\d\d-\d\d/.exec(text ?? '') ?? [];
	if (text === undefined || day || /^[A-Z][a-z]{2}, /.test(text)) {
		try {
			const time = tryToParseDateTime(value, context.getTimezone());
			const iso = time.toUTC().toISO();
			// A day that is in no calendar would be taken for one of the next month.
			if (iso !== null && (day === undefined || time.toISODate() === day)) return iso;
		} catch {
			// Said below, as for whatever is no time.
		}
	}
	throw refuse(
		place,
		`"${label}" is not a time: ${shown(value)}`,
		'Give something like 2026-12-24T08:00:00Z, or a time of an expression: {{ $now.plus({ hours: 2 }) }}',
	);
}

/**
 * Refuses what an expression made out of nothing: `undefined-shipped` names no occasion, an empty filter filters nothing.
 *
 * @param types what each part of the expression may be
 * @throws NodeOperationError naming the part that gave nothing, or something else
 */
export function refuseEmptyParts(place: Place, value: unknown, types: string[]): void {
	const { context, item, label, written } = place;
	if (!isExpression(written)) return;
	const chunks = ExpressionParser.splitExpression(written.slice(1)).filter(({ text }) => text);
	for (const chunk of chunks) {
		// What fills in a $fromAI is a model: there is nothing to evaluate, and its word is checked as a whole.
		if (chunk.type !== 'code' || /\$fromai/i.test(chunk.text)) continue;
		const part = chunks.length === 1 ? value : evaluate(context, item, `{{${chunk.text}}}`);
		const advice = `{{${chunk.text}}} is ${shown(part)} for this item. Correct the name of the field, or say what to take otherwise: {{ $json.field ?? 'otherwise' }}`;
		if (isNothing(part) || !types.includes(typeof part)) {
			const gives = isNothing(part) ? 'nothing' : nameOf(part);
			throw refuse(place, `The expression in "${label}" gives ${gives}`, advice);
		}
		// Glued together within the braces, a missing value has become a word.
		if (/[+`]|concat|join/.test(chunk.text) && GLUED_NOTHING.test(String(part))) {
			throw refuse(place, `The expression in "${label}" has a value that is missing`, advice);
		}
	}
}

const GLUED_NOTHING = /(^|[^A-Za-z0-9])(undefined|null|NaN)([^A-Za-z0-9]|$)|\[object /;

function evaluate(context: IExecuteFunctions, item: number, expression: string): unknown {
	try {
		return context.evaluateExpression(expression, item);
	} catch {
		// Then the whole could not be evaluated either, and n8n has said so, or the part means nothing by itself.
		return expression;
	}
}

export function nameOf(value: unknown): string {
	if (Array.isArray(value)) return 'a list';
	if (value === null || value === undefined) return 'nothing';
	return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

export function shown(value: unknown): string {
	const text = typeof value === 'string' ? `"${value}"` : (JSON.stringify(value) ?? String(value));
	return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
