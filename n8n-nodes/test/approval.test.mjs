import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
	accepted,
	failNode,
	makeContext,
	problem,
	runNode,
	signedUrl,
} from './support/context.mjs';
import { WAIT_INDEFINITELY } from './support/n8n.mjs';
import { answer } from '../dist/nodes/EmailSender/resources/email/approval.js';

const ASKED_FOR = '{{ JSON.stringify($json) }}';
const ITEM = { order: 7 };
const expressions = { [ASKED_FOR]: JSON.stringify(ITEM) };
const parameters = {
	resource: 'email',
	operation: 'sendAndWait',
	to: 'ada@example.test',
	subject: 'Order 7',
	message: 'May <b>7</b> be sent?\nIt is "late" & dear.',
};
const both = (more = {}) => ({ values: { approvalType: 'double', ...more } });
const limit = (values) => ({ limitWaitTime: { values } });

function asking(more = {}, context = {}) {
	return makeContext({
		parameters: { ...parameters, ...more },
		answer: accepted,
		items: [{ json: ITEM }],
		expressions,
		...context,
	});
}

async function ask(more) {
	const context = asking(more);
	const output = await runNode(context);
	return { context, output, mail: context.requests[0].body };
}

/** The links of the text, in their order. */
const linksOf = ({ text }) => text.match(/http:\S+/g).map((link) => new URL(link));

/** What comes of it when somebody opens an address of a question, or sends what its page has. */
async function come(url, { method = 'GET', more = {}, given = ITEM } = {}) {
	const shown = { headers: {} };
	const response = {
		setHeader: (name, value) => (shown.headers[name] = value),
		status(status) {
			shown.status = status;
			return this;
		},
		send: (page) => (shown.page = page),
	};
	const all = { ...parameters, ...more };
	const result = await answer({
		evaluateExpression: () => JSON.stringify(given),
		getNodeParameter: (name, fallback) =>
			name.split('.').reduce((value, part) => value?.[part], all) ?? fallback,
		getQueryData: () => Object.fromEntries(new URL(url).searchParams),
		getRequestObject: () => ({ method }),
		getResponseObject: () => response,
		getSignedResumeUrl: (said) => signedUrl(said),
	});
	return { ...shown, ...result };
}

describe('a question', () => {
	it('goes out as text and HTML, with what was typed as text, and is waited on', async () => {
		const { context, output, mail } = await ask();
		const [request] = context.requests;
		assert.equal(`${request.method} ${request.path}`, 'POST /api/v1/emails');
		const [link, ...others] = linksOf(mail);
		assert.deepEqual(others, []);
		assert.deepEqual([mail.to, mail.subject], [['ada@example.test'], 'Order 7']);
		assert.equal(mail.text, `${parameters.message}\n\nApprove: ${link}`);
		assert.match(
			mail.html,
			/<p>May &#60;b&#62;7&#60;\/b&#62; be sent\?<br>It is &#34;late&#34; &#38; dear\.<\/p>/,
		);
		assert.ok(mail.html.includes(`href="${String(link).replaceAll('&', '&#38;')}"`));
		assert.deepEqual(Object.keys(mail).sort(), ['html', 'subject', 'text', 'to']);
		assert.deepEqual(context.waits, [WAIT_INDEFINITELY]);
		assert.deepEqual(output, [{ json: ITEM, pairedItem: { item: 0 } }]);
	});

	it('has two answers, whose labels are text too', async () => {
		const { mail } = await ask({
			approvalOptions: both({ approveLabel: 'Yes\n<i>', disapproveLabel: 'No' }),
			options: { from: 'Sales <sales@example.test>', replyTo: 'help@example.test' },
		});
		const [yes, no] = linksOf(mail);
		assert.deepEqual(
			[yes, no].map(({ searchParams }) => searchParams.get('approved')),
			['true', 'false'],
		);
		assert.match(mail.text, /\n\nYes <i>: http.*\n\nNo: http/);
		assert.ok(mail.html.includes('>Yes &#60;i&#62;</a>'));
		assert.deepEqual(
			[mail.from, mail.reply_to],
			['Sales <sales@example.test>', 'help@example.test'],
		);
	});

	for (const [what, values, milliseconds] of [
		[
			'minutes',
			{ limitType: 'afterTimeInterval', resumeAmount: 45, resumeUnit: 'minutes' },
			2_700_000,
		],
		['days', { limitType: 'afterTimeInterval', resumeAmount: 0.5, resumeUnit: 'days' }, 43_200_000],
		['nothing said', {}, 3_600_000],
	]) {
		it(`is waited on for so long: ${what}`, async () => {
			const before = Date.now();
			const { context } = await ask({ options: limit(values) });
			const [until] = context.waits;
			assert.ok(until.getTime() >= before + milliseconds);
			assert.ok(until.getTime() <= Date.now() + milliseconds);
		});
	}

	it('is waited on until a time of the workflow’s zone', async () => {
		const { context } = await ask({
			options: limit({ limitType: 'atSpecifiedTime', maxDateAndTime: '2026-12-24T08:00:00' }),
		});
		assert.deepEqual(context.waits, [new Date('2026-12-24T07:00:00Z')]);
	});

	for (const [what, more, said] of [
		['nobody is asked', { to: ' , ' }, /no recipient/],
		['nothing is asked', { message: ' ' }, /"Message" is empty/],
		[
			'no time',
			{ options: limit({ limitType: 'atSpecifiedTime', maxDateAndTime: '' }) },
			/is empty/,
		],
		['no stretch', { options: limit({ resumeAmount: -1 }) }, /no stretch of time/],
	]) {
		it(`is not sent: ${what}`, async () => {
			const context = asking(more);
			assert.match((await failNode(context)).message, said);
			assert.deepEqual([context.requests, context.waits], [[], []]);
		});
	}

	it('is one for an execution', async () => {
		const context = asking({}, { items: [{ json: {} }, { json: {} }] });
		assert.match((await failNode(context)).message, /waits on one question, and there are 2 items/);
		assert.deepEqual([context.requests, context.waits], [[], []]);
	});

	it('is not waited on when it was refused', async () => {
		const context = asking({}, { answer: () => problem(422, 'invalid_input', 'Not valid') });
		assert.match((await failNode(context)).message, /Not valid/);
		assert.deepEqual(context.waits, []);
	});
});

describe('an answer', () => {
	it('is not given by opening the link', async () => {
		const { mail } = await ask({ subject: 'Order <7>', approvalOptions: both() });
		const more = { subject: 'Order <7>', approvalOptions: both({ disapproveLabel: '<No>' }) };
		for (const [link, label] of linksOf(mail).map((one, at) => [
			one,
			['Approve', '&#60;No&#62;'][at],
		])) {
			for (const method of ['GET', 'HEAD']) {
				const { status, page, headers, workflowData, noWebhookResponse } = await come(link, {
					method,
					more,
				});
				assert.deepEqual([status, workflowData, noWebhookResponse], [200, undefined, true]);
				assert.ok(page.includes('<h1>Order &#60;7&#62;</h1>'));
				assert.ok(page.includes(`<form method="post"><button type="submit">${label}</button>`));
				assert.match(
					headers['Content-Security-Policy'],
					/default-src 'none'.*frame-ancestors 'none'/,
				);
				assert.equal(headers['Cache-Control'], 'no-store');
			}
		}
	});

	it('is given by its button', async () => {
		const { mail } = await ask({ approvalOptions: both() });
		for (const [link, approved] of linksOf(mail).map((one, at) => [one, at === 0])) {
			const { webhookResponse, workflowData, status } = await come(link, { method: 'POST' });
			const [[{ json }]] = workflowData;
			assert.equal(json.data.approved, approved);
			assert.ok(Math.abs(Date.parse(json.data.respondedAt) - Date.now()) < 60_000);
			assert.match(webhookResponse, /Your answer was taken/);
			assert.equal(status, undefined);
		}
	});

	for (const [what, change] of [
		['another answer', (url) => url.searchParams.set('approved', 'false')],
		['another question', (url) => url.searchParams.set('question', 'x')],
		['one thing more', (url) => url.searchParams.set('more', 'x')],
		['no signature', (url) => url.searchParams.delete('signature')],
		['a cut signature', (url) => url.searchParams.set('signature', 'ab')],
		['a made up signature', (url) => url.searchParams.set('signature', '0'.repeat(64))],
	]) {
		for (const method of ['GET', 'POST']) {
			it(`is refused by ${method}: ${what}`, async () => {
				const { mail } = await ask();
				const [link] = linksOf(mail);
				change(link);
				const { status, page, workflowData } = await come(link, { method });
				assert.deepEqual([status, workflowData], [401, undefined]);
				assert.ok(!page.includes('<form'));
			});
		}
	}

	it('is refused where it is none, though it is signed', async () => {
		const { status, workflowData } = await come(signedUrl({ approved: 'perhaps' }), {
			method: 'POST',
		});
		assert.deepEqual([status, workflowData], [401, undefined]);
	});

	it('is refused to what an earlier round of a loop asked', async () => {
		const { mail } = await ask();
		for (const method of ['GET', 'POST']) {
			const later = await come(linksOf(mail)[0], { method, given: { order: 8 } });
			assert.deepEqual([later.status, later.workflowData], [410, undefined]);
		}
	});
});
