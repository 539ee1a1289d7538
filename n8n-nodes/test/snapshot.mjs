/**
 * What the package has promised: what saved workflows are read with, and what each operation may send.
 *
 * Texts are left out, for they may change freely. Names, types, values, defaults and conditions may not: n8n saves only
 * what differs from a default, so another default changes the meaning of a workflow that exists already. What is sent is
 * compared with the API's OpenAPI document by `tests/contract/test_n8n_paths.py`, which has no Node to build with.
 *
 * `node test/snapshot.mjs` writes the file anew from the build; version 1 of the node only grows.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { description } from './support/context.mjs';
import { EmailSenderTrigger } from '../dist/nodes/EmailSenderTrigger/EmailSenderTrigger.node.js';
import { resources } from '../dist/nodes/EmailSender/resources/index.js';

const file = new URL('snapshot.json', import.meta.url);
const TEXTS = ['displayName', 'description', 'placeholder', 'hint', 'action'];

export const readSnapshot = () => JSON.parse(readFileSync(file, 'utf8'));

export function takeSnapshot() {
	const operations = resources.flatMap(({ value, operations: offered }) =>
		Object.entries(offered).flatMap(([name, { route, lookup, batch, query = [], body = [] }]) => [
			[`${value}.${name}`, { route, query, body }],
			...(batch ? [[`${value}.${name}.batch`, { ...batch, query: [] }]] : []),
			...(lookup ? [[`${value}.${name}.lookup`, { ...lookup, body: [] }]] : []),
		]),
	);
	return {
		operations: Object.fromEntries(operations),
		parameters: description.properties.map(withoutTexts),
		trigger: new EmailSenderTrigger().description.properties.map(withoutTexts),
	};
}

function withoutTexts(value) {
	if (Array.isArray(value)) return value.map(withoutTexts);
	if (typeof value !== 'object' || value === null) return value;
	// An option's name is what the editor shows; its value is what a workflow keeps.
	const isChoice = 'value' in value && 'name' in value;
	return Object.fromEntries(
		Object.entries(value)
			.filter(([key]) => !TEXTS.includes(key) && !(isChoice && key === 'name'))
			.map(([key, inner]) => [key, withoutTexts(inner)]),
	);
}

/** One line an entry, so that a diff reads like a list of what changed. */
function format(snapshot) {
	const lines = (entries) => entries.map((entry) => `\t\t${entry}`).join(',\n');
	const sections = Object.entries(snapshot).map(([name, section]) =>
		Array.isArray(section)
			? `\t"${name}": [\n${lines(section.map((entry) => JSON.stringify(entry)))}\n\t]`
			: `\t"${name}": {\n${lines(
					Object.entries(section).map(([key, entry]) => `"${key}": ${JSON.stringify(entry)}`),
				)}\n\t}`,
	);
	return `{\n${sections.join(',\n')}\n}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	writeFileSync(file, format(takeSnapshot()));
}
