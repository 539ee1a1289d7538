import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failNode, makeContext, runNode } from './support/context.mjs';
import { businessKey, byId, pages, send } from '../dist/nodes/EmailSender/shared/calls.js';
import { propertiesOf } from '../dist/nodes/EmailSender/shared/operation.js';

const told = { action: 'Act on a note', description: 'Act on a note' };
const field = (name, type, more = {}) => ({
	displayName: `The ${name}`,
	name,
	type,
	default: '',
	...more,
});

/** A resource as the README says to declare one, with one field of every sort. */
const note = {
	name: 'Note',
	value: 'note',
	default: 'list',
	operations: {
		add: send({
			...told,
			route: 'POST /api/v1/notes',
			fields: [
				field('noteText', 'string', { required: true }),
				businessKey('order-1', 'Names the occasion'),
				field('kind', 'options', {
					options: [
						{ name: 'Plain', value: 'plain' },
						{ name: 'Timed', value: 'timed' },
					],
					default: 'plain',
				}),
				field('expiresAt', 'dateTime', { displayOptions: { show: { kind: ['timed'] } } }),
				field('labels', 'json', { default: '{}' }),
				field('pinned', 'boolean', { default: false }),
				field('rank', 'number', { default: 0 }),
				field('more', 'collection', {
					default: {},
					options: [field('writtenBy', 'string'), field('maxReads', 'number', { default: 1 })],
				}),
				field('tags', 'string'),
				field('loudly', 'boolean', { default: false }),
			],
			unsent: ['loudly'],
			convert: { tags: (value) => value.split(',').filter(Boolean) },
			refuse: ({ note_text: text }) => (text === 'no' ? 'Not this one' : undefined),
			shape: (object, _, { loudly }) => ({ ...object, loudly }),
		}),
		list: pages({ ...told, route: 'GET /api/v1/notes' }),
		pinUp: byId({ ...told, route: 'POST /api/v1/notes/{note_id}/pin', id: 'The ID' }),
		remove: byId({
			...told,
			route: 'DELETE /api/v1/notes/{name}',
			id: 'The name',
			placeholder: 'welcome',
		}),
		rename: send({
			...told,
			route: 'PUT /api/v1/notes/{note_id}',
			id: 'The ID',
			fields: [field('noteName', 'string', { required: true })],
		}),
		search: pages({
			...told,
			route: 'GET /api/v1/notes',
			filters: [
				field('writtenBy', 'string'),
				field('pinned', 'boolean', { default: true }),
				field('minRank', 'number', { default: 0 }),
			],
		}),
	},
};

function makeNoteContext(operation, parameters, answer) {
	return makeContext({
		offered: [note],
		parameters: { resource: 'note', operation, ...parameters },
		answer,
	});
}

async function addedBody(parameters) {
	const context = makeNoteContext('add', { noteText: 'Hi', ...parameters }, () => ({
		status: 201,
		body: {},
	}));
	await runNode(context);
	return context.requests[0].body;
}

const nothing = () => assert.fail('no request expected');

describe('a declaration', () => {
	const properties = propertiesOf([note]);
	const operations = properties.find(({ name }) => name === 'operation');

	it('names its operations in words', () => {
		assert.deepEqual(
			operations.options.map(({ name, value }) => [name, value]),
			[
				['Add', 'add'],
				['List', 'list'],
				['Pin Up', 'pinUp'],
				['Remove', 'remove'],
				['Rename', 'rename'],
				['Search', 'search'],
			],
		);
		assert.equal(operations.default, 'list');
	});

	it('shows each field for its own operation, and when the declaration says so', () => {
		assert.deepEqual(properties.find(({ name }) => name === 'expiresAt').displayOptions, {
			show: { kind: ['timed'], resource: ['note'], operation: ['add'] },
		});
	});

	it('offers no filters where there are none', () => {
		const filters = properties.filter(({ name }) => name === 'filters');
		assert.deepEqual(
			filters.map(({ displayOptions }) => displayOptions.show.operation),
			[['search']],
		);
	});

	it('makes the field of an ID from the path', () => {
		const { displayName, placeholder, required } = properties.find(({ name }) => name === 'noteId');
		assert.deepEqual([displayName, required], ['Note ID', true]);
		assert.match(placeholder, /^e\.g\. [0-9a-f-]{36}$/);
		assert.equal(properties.find(({ name }) => name === 'name').placeholder, 'welcome');
	});

	it('tells what it may send, and nothing that it keeps', () => {
		assert.deepEqual(note.operations.add.body, [
			...['note_text', 'business_key', 'kind', 'expires_at', 'labels', 'pinned', 'rank'],
			...['written_by', 'max_reads', 'tags'],
		]);
		assert.deepEqual(note.operations.search.query, [
			...['limit', 'cursor', 'written_by', 'pinned', 'min_rank'],
		]);
	});
});

describe('byId', () => {
	it('gives the object that the API answers with', async () => {
		const answer = () => ({ status: 200, body: { id: 'n1', pinned: true } });
		const context = makeNoteContext('pinUp', { noteId: 'n1' }, answer);
		assert.deepEqual((await runNode(context))[0].json, { id: 'n1', pinned: true });
		const [{ method, path, body }] = context.requests;
		assert.equal(`${method} ${path}`, 'POST /api/v1/notes/n1/pin');
		assert.equal(body, undefined);
	});

	for (const [operation, parameters, expected] of [
		['remove', { name: 'welcome' }, { deleted: true }],
		['pinUp', { noteId: 'n1' }, { success: true }],
	]) {
		it(`gives an item for an answer without content: ${operation}`, async () => {
			const context = makeNoteContext(operation, parameters, () => ({ status: 204, body: '' }));
			assert.deepEqual(await runNode(context), [{ json: expected, pairedItem: { item: 0 } }]);
		});
	}

	it('does not take the page of another server for a deletion', async () => {
		const answer = () => ({ status: 200, body: '<html>' });
		const error = await failNode(makeNoteContext('remove', { name: 'welcome' }, answer));
		assert.match(error.message, /not a JSON object/);
	});
});

describe('pages', () => {
	const empty = () => ({ status: 200, body: { items: [], next_cursor: null } });

	it('asks without filters where there are none', async () => {
		const context = makeNoteContext('list', { limit: 3 }, empty);
		assert.deepEqual(await runNode(context), []);
		assert.deepEqual(context.requests[0].query, { limit: 3 });
	});

	for (const [what, value, written] of [
		['nothing', undefined, 'x'],
		['null', null, 'x'],
		['an empty text from an expression', '', '={{ $json.who }}'],
		['an expression whose part is missing', 'undefined@x.test', '={{ $json.who }}@x.test'],
	]) {
		it(`refuses a filter that is ${what}`, async () => {
			const context = makeContext({
				offered: [note],
				parameters: { resource: 'note', operation: 'search', filters: { writtenBy: value } },
				written: { filters: { writtenBy: written } },
				expressions: { '{{ $json.who }}': undefined },
				answer: nothing,
			});
			const { getNodeParameter } = context;
			context.getNodeParameter = (name, item) =>
				name === 'filters' ? { writtenBy: value } : getNodeParameter(name, item);
			assert.match((await failNode(context)).message, /"The writtenBy"/);
			assert.equal(context.requests.length, 0);
		});
	}

	for (const [what, filters, told] of [
		['nothing', undefined, /"Filters" gives nothing/],
		['no filter', {}, /"Filters" gives nothing/],
		['a misspelt one', { writtenby: 'Ada' }, /no filter "writtenby"/],
		['one that is nothing', { writtenBy: null }, /"The writtenBy" is nothing/],
	]) {
		it(`refuses one expression for all filters that gives ${what}`, async () => {
			const context = makeContext({
				offered: [note],
				parameters: { resource: 'note', operation: 'search' },
				written: { filters: '={{ $json.filters }}' },
				answer: nothing,
			});
			const { getNodeParameter } = context;
			context.getNodeParameter = (name, item) =>
				name === 'filters' ? filters : getNodeParameter(name, item);
			assert.match((await failNode(context)).message, told);
		});
	}

	it('reads filters and limits that are texts', async () => {
		const filters = { pinned: 'false', minRank: '7' };
		const context = makeNoteContext('search', { filters, limit: '3' }, empty);
		await runNode(context);
		assert.deepEqual(context.requests[0].query, { limit: 3, pinned: false, min_rank: 7 });
	});

	for (const limit of [undefined, null, 0, 'many', '']) {
		it(`refuses the limit ${JSON.stringify(limit)}`, async () => {
			const context = makeNoteContext('list', {}, nothing);
			const { getNodeParameter } = context;
			context.getNodeParameter = (name, item) =>
				name === 'limit' ? limit : getNodeParameter(name, item);
			assert.match((await failNode(context)).message, /"Limit"/);
		});
	}

	it('sends the filters that were added, false and 0 among them, and no empty one', async () => {
		const filters = { writtenBy: '', pinned: false, minRank: 0 };
		const context = makeNoteContext('search', { filters }, empty);
		await runNode(context);
		assert.deepEqual(context.requests[0].query, { limit: 50, pinned: false, min_rank: 0 });
	});
});

describe('send', () => {
	const least = { note_text: 'Hi', kind: 'plain', labels: {}, pinned: false, rank: 0 };

	it('leaves out what is empty, hidden, not added or not meant for the API', async () => {
		assert.deepEqual(await addedBody({ loudly: true }), least);
	});

	it('sends what is required, even when empty', async () => {
		assert.deepEqual(await addedBody({ noteText: '' }), { ...least, note_text: '' });
	});

	it('sends a number that was emptied as none', async () => {
		const { rank, ...others } = least;
		assert.equal(rank, 0);
		assert.deepEqual(await addedBody({ rank: '' }), others);
	});

	it('sends fields and the children of collections under the names of the API', async () => {
		const body = await addedBody({
			kind: 'timed',
			expiresAt: '2026-01-01T00:00:00Z',
			labels: '{"a": 1}',
			businessKey: ' order-1 ',
			more: { writtenBy: 'Ada', maxReads: 0 },
			tags: 'x,y',
		});
		assert.deepEqual(body, {
			...least,
			kind: 'timed',
			expires_at: '2026-01-01T00:00:00.000Z',
			labels: { a: 1 },
			business_key: 'order-1',
			written_by: 'Ada',
			max_reads: 0,
			tags: ['x', 'y'],
		});
	});

	it('gives what the declaration makes of the answer', async () => {
		const answer = () => ({ status: 201, body: { id: 'n1' } });
		const context = makeNoteContext('add', { noteText: 'Hi', loudly: true }, answer);
		assert.deepEqual((await runNode(context))[0].json, { id: 'n1', loudly: true });
	});

	it('changes the object that the path names', async () => {
		const answer = () => ({ status: 200, body: { id: 'n1', note_name: 'B' } });
		const context = makeNoteContext('rename', { noteId: 'n1', noteName: 'B' }, answer);
		assert.deepEqual((await runNode(context))[0].json, { id: 'n1', note_name: 'B' });
		const [{ method, path, body }] = context.requests;
		assert.equal(`${method} ${path}`, 'PUT /api/v1/notes/n1');
		assert.deepEqual(body, { note_name: 'B' });
	});

	it('refuses before any request', async () => {
		const error = await failNode(makeNoteContext('add', { noteText: 'no' }, nothing));
		assert.equal(error.message, 'Not this one');
		assert.equal(error.context.itemIndex, 0);
	});

	it('names the JSON field that is none', async () => {
		const error = await failNode(makeNoteContext('add', { noteText: 'Hi', labels: '{' }, nothing));
		assert.match(error.message, /"The labels" is not JSON/);
	});
});
