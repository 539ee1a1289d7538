/** What the editor offers where something of the tenant is chosen: templates, the variables that one of them uses, relays. */
import type { IDataObject, ILoadOptionsFunctions, INodePropertyOptions } from 'n8n-workflow';
import { credentialOf } from '../../shared/credential';
import { API_ROOT, readBaseUrl, trust } from '../../shared/server';

const LARGEST_PAGE = 200;
const MOST_PAGES = 10;

async function get(
	context: ILoadOptionsFunctions,
	path: string,
	query: IDataObject = {},
): Promise<IDataObject> {
	const credential = credentialOf(context.getNodeParameter('authentication', 'oAuth2'));
	const { baseUrl, caCertificate } = await context.getCredentials(credential);
	return (await context.helpers.httpRequestWithAuthentication.call(context, credential, {
		method: 'GET',
		url: `${readBaseUrl(baseUrl)}${API_ROOT}/${path}`,
		qs: query,
		json: true,
		...trust(caCertificate),
	})) as IDataObject;
}

/** A whole list by name, up to two thousand. */
async function named(
	context: ILoadOptionsFunctions,
	path: string,
	describe: (one: IDataObject) => unknown,
): Promise<INodePropertyOptions[]> {
	const found: INodePropertyOptions[] = [];
	let cursor: unknown;
	for (let page = 0; page < MOST_PAGES; page++) {
		const answer = await get(context, path, {
			limit: LARGEST_PAGE,
			...(cursor ? { cursor: cursor as string } : {}),
		});
		for (const one of answer.items as IDataObject[]) {
			const name = String(one.name);
			found.push({ name, value: name, description: String(describe(one)) });
		}
		cursor = answer.next_cursor;
		if (!cursor) break;
	}
	return found;
}

/** The templates of the tenant. */
export async function getTemplates(this: ILoadOptionsFunctions): Promise<INodePropertyOptions[]> {
	return await named(this, 'email-templates', ({ subject }) => subject);
}

/** The relays of the tenant. */
export async function getRelays(this: ILoadOptionsFunctions): Promise<INodePropertyOptions[]> {
	return await named(this, 'email-relays', ({ from_address: from, smtp }) => {
		const { host } = smtp as IDataObject;
		return from ? `${from}, by ${host}` : `By ${host}`;
	});
}

/** The variables of the chosen template; none where an expression chooses it. */
export async function getTemplateVariables(
	this: ILoadOptionsFunctions,
): Promise<INodePropertyOptions[]> {
	const name = String(this.getCurrentNodeParameter('template') ?? '');
	if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return [];
	const { subject, text, html } = await get(this, `email-templates/${name}`);
	const variables = variablesIn([subject, text, html].filter(Boolean).join('\n'));
	return variables.map((variable) => ({ name: variable, value: variable }));
}

const WORDS = new Set(
	'and as block call do elif else endblock endcall endfilter endfor endif endmacro endset endwith extends false False filter for from if import in include is loop macro none None not or recursive set true True with'.split(
		' ',
	),
);

/** The names that a Jinja template takes from outside, in the order of their first use. */
export function variablesIn(template: string): string[] {
	const found = new Set<string>();
	const own = new Set<string>();
	for (const [, expression, statement] of template
		.replace(/\{#[\s\S]*?#\}/g, '')
		.matchAll(/\{\{([\s\S]*?)\}\}|\{%([\s\S]*?)%\}/g)) {
		const code = (expression ?? statement)
			.replace(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'/g, ' ')
			.replace(/\|\s*\w+|\.\s*\w+|\bis\s+(?:not\s+)?\w+|\w+\s*=(?!=)/g, ' ');
		const [, loopVariables] = /^[-+\s]*for\s+([\w\s,]+?)\s+in\s/.exec(code) ?? [];
		const [, setVariable] = /^[-+\s]*set\s+(\w+)/.exec(expression ?? statement) ?? [];
		for (const name of [...(loopVariables?.split(/[\s,]+/) ?? []), setVariable]) {
			if (name) own.add(name);
		}
		for (const [name] of code.matchAll(/[A-Za-z_]\w*/g)) {
			if (!WORDS.has(name) && !own.has(name)) found.add(name);
		}
	}
	return [...found];
}
