// Runs every test file over the compiled package and ends with one line that says how it went.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const folder = new URL('./', import.meta.url);
const files = readdirSync(folder)
	.filter((name) => name.endsWith('.test.mjs'))
	.map((name) => fileURLToPath(new URL(name, folder)));

const started = performance.now();
let passed = 0;
let failed = 0;
const stream = run({ files, concurrency: true });
stream.on('test:pass', ({ details }) => (passed += details.type === 'suite' ? 0 : 1));
stream.on('test:fail', ({ details }) => (failed += details.type === 'suite' ? 0 : 1));
const report = stream.compose(new spec());
report.pipe(process.stdout, { end: false });
report.on('end', () => {
	// A run that found nothing to run has proved nothing.
	if (failed > 0 || passed === 0) process.exitCode = 1;
	const seconds = ((performance.now() - started) / 1000).toFixed(1);
	console.log(`\nn8n-nodes-email-sender: ${passed} tests passed, ${failed} failed in ${seconds} s`);
});
