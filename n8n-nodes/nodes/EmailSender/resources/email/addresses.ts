import { asText, isNothing, nameOf, type Place, refuse } from '../../shared/values';

/**
 * Splits a field of recipients into addresses; nothing among them counts for nothing.
 *
 * Text is split at commas, semicolons and line ends, except within quotes and angle brackets (`"Lovelace, Ada"
 * <ada@example.com>` is one). A list is taken entry by entry, unsplit: whoever builds a list has already said where one
 * address ends. An entry may be an object with an `email` (or `address`) and perhaps a `name`.
 */
export function splitAddresses(value: unknown, place: Place): string[] {
	if (Array.isArray(value)) {
		return value.flatMap((entry) =>
			Array.isArray(entry) ? splitAddresses(entry, place) : entryOf(entry, place),
		);
	}
	return typeof value === 'string' ? splitText(value) : entryOf(value, place);
}

/** Where answers go: one address as it is, several as a list. */
export function readReplyTo(value: unknown, place: Place): string | string[] {
	const all = splitAddresses(typeof value === 'object' ? value : asText(place, value), place);
	return all.length > 1 ? all : (all[0] ?? '');
}

function entryOf(entry: unknown, place: Place): string[] {
	if (isNothing(entry)) return [];
	if (typeof entry === 'string') return [entry.trim()];
	if (typeof entry === 'object') {
		const { email, address, name } = entry as Record<string, unknown>;
		const found = email ?? address;
		if (typeof found === 'string' && found.trim()) {
			return [
				typeof name === 'string' && name.trim() ? named(name.trim(), found.trim()) : found.trim(),
			];
		}
	}
	throw refuse(
		place,
		`"${place.label}" has ${nameOf(entry)} where an address is expected`,
		'Give addresses as text, a list of them, or objects like {"email": "ada@example.com", "name": "Ada"}',
	);
}

function named(name: string, address: string): string {
	return `"${name.replace(/[\\"]/g, '\\$&')}" <${address}>`;
}

function splitText(text: string): string[] {
	const parts: string[] = [];
	let part = '';
	let quoted = false;
	let bracketed = false;
	let escaped = false;
	for (const character of text) {
		if (quoted) {
			if (character === '"' && !escaped) quoted = false;
			escaped = character === '\\' && !escaped;
		} else if (character === '"') quoted = true;
		else if (character === '<') bracketed = true;
		else if (character === '>') bracketed = false;

		if (/[,;\r\n]/.test(character) && !quoted && !bracketed) {
			parts.push(part);
			part = '';
		} else part += character;
	}
	return [...parts, part].map((one) => one.trim()).filter(Boolean);
}
