import { settled } from "../../worker/src/show";

export interface Env {
	KV: KVNamespace;
	OTHER_KV: KVNamespace;
	R2: R2Bucket;
}

/** What a probe can reach. */
export class Probe {
	readonly lines: string[] = [];

	constructor(
		readonly env: Env,
		readonly request: Request,
		readonly args: readonly string[],
	) {}

	/** Adds a line: what f came to. */
	async say(label: string, f: () => unknown): Promise<void> {
		this.lines.push(`${label}: ${await settled(async () => f())}`);
	}
}

export const wrong = (value: unknown): any => value;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Text that no compression makes short. */
export function wild(length: number): string {
	let s = "";
	for (let i = 0, x = 1; i < length; i++) {
		x = (x * 48271) % 2147483647;
		s += String.fromCharCode(97 + (x % 26));
	}
	return s;
}
