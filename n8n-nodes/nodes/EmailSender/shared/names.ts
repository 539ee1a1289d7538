/** One name in its three spellings: `email_id` for the API, `emailId` for workflows, "Email ID" for people. */

export function inSnakeCase(camel: string): string {
	return camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function inCamelCase(snake: string): string {
	return snake.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

export function inTitleCase(camel: string): string {
	const words = camel.replace(/[A-Z]/g, (letter) => ` ${letter}`);
	return (words[0].toUpperCase() + words.slice(1)).replace(/\bId\b/, 'ID');
}
