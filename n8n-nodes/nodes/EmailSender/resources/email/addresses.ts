/**
 * Splits a field of recipients into addresses.
 *
 * Text is split at commas, except within quotes and angle brackets (`"Lovelace, Ada" <ada@example.com>` is one). A list
 * is taken entry by entry, unsplit: whoever builds a list has already said where one address ends.
 */
export function splitAddresses(value: unknown): string[] {
	if (Array.isArray(value)) return tidy(value.map(String));

	const parts: string[] = [];
	let part = '';
	let quoted = false;
	let bracketed = false;
	let escaped = false;
	for (const character of String(value ?? '')) {
		if (quoted) {
			if (character === '"' && !escaped) quoted = false;
			escaped = character === '\\' && !escaped;
		} else if (character === '"') quoted = true;
		else if (character === '<') bracketed = true;
		else if (character === '>') bracketed = false;

		if (character === ',' && !quoted && !bracketed) {
			parts.push(part);
			part = '';
		} else part += character;
	}
	return tidy([...parts, part]);
}

function tidy(parts: string[]): string[] {
	return parts.map((part) => part.trim()).filter(Boolean);
}
