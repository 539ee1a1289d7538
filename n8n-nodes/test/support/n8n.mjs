// n8n-workflow as the compiled node loads it. Its ESM half cannot be imported by Node, and two copies would make every
// `instanceof` fail.
import { createRequire } from 'node:module';

export const { NodeApiError, NodeHelpers, NodeOperationError, WAIT_INDEFINITELY } = createRequire(
	import.meta.url,
)('n8n-workflow');
