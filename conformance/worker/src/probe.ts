// A probe is a small named function that a script runs inside an object, by a
// request ("do") or by a message on one of its sockets.

import { outcome, settled } from "./show";

/** What a probe can reach. */
export class Probe {
	constructor(
		readonly ctx: DurableObjectState,
		readonly env: Env,
		readonly args: readonly string[],
		/** Adds a line to the answer of the request, or to the object's log. */
		readonly say: (line: string) => void,
		/** What the object remembers between probes, until it leaves memory. */
		readonly memory: Map<string, unknown>,
		/** The socket whose message this is. */
		readonly ws: WebSocket | undefined,
	) {}

	/** Tells under a label what f returned or threw. */
	observe(label: string, f: () => unknown): void {
		this.say(`${label}: ${outcome(f)}`);
	}

	/** Like observe, for what is awaited. */
	async observeAsync(label: string, f: () => unknown): Promise<void> {
		this.say(`${label}: ${await settled(f)}`);
	}

	/** The only socket with that tag, or the only one that there is. */
	socket(tag?: string): WebSocket {
		const all = this.ctx.getWebSockets(tag);
		if (all.length !== 1) throw new Error(`the script means one socket, there are ${all.length}`);
		return all[0];
	}
}

export type Probes = Record<string, (t: Probe) => unknown>;

export interface Env {
	Room: DurableObjectNamespace;
	Plain: DurableObjectNamespace;
	Mute: DurableObjectNamespace;
	NoFetch: DurableObjectNamespace;
	Remote: DurableObjectNamespace;
}

/** Casts what the types forbid and a script wants to try all the same. */
export const wrong = (value: unknown): any => value;

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
