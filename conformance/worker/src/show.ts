// Values and errors as one line of text that is the same on every runtime.

const LONGEST = 90;

/** The value with its kind, short enough for a line. */
export function show(value: unknown): string {
	return write(value, []);
}

function write(value: unknown, above: unknown[]): string {
	if (typeof value === "string") {
		return value.length <= LONGEST ? JSON.stringify(value) : `${JSON.stringify(value.slice(0, 8))}… of ${value.length}`;
	}
	if (typeof value === "bigint") return `${value}n`;
	if (typeof value === "function") return "function";
	if (typeof value === "symbol") return "symbol";
	if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
	if (above.includes(value)) return "(itself)";
	const inside = [...above, value];
	const each = (values: Iterable<unknown>) => [...values].map((v) => write(v, inside)).join(", ");
	if (Array.isArray(value)) return `[${each(value)}]`;
	if (value instanceof Date) return `Date(${value.getTime()})`;
	if (value instanceof Error || value instanceof DOMException) return `${value.constructor.name}(${value.name}: ${value.message})`;
	if (value instanceof Map) {
		return `Map{${[...value].map(([k, v]) => `${write(k, inside)} => ${write(v, inside)}`).join(", ")}}`;
	}
	if (value instanceof Set) return `Set{${each(value)}}`;
	if (value instanceof Blob) return `Blob of ${value.size}`;
	if (value instanceof RegExp) return String(value);
	if (value instanceof ArrayBuffer) return `ArrayBuffer[${hex(new Uint8Array(value))}]`;
	if (ArrayBuffer.isView(value)) {
		return `${value.constructor.name}[${hex(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))}]`;
	}
	const name = Object.getPrototypeOf(value)?.constructor?.name ?? "null";
	const fields = Object.entries(value).map(([k, v]) => `${k}: ${write(v, inside)}`);
	return `${name === "Object" ? "" : `${name} `}{${fields.join(", ")}}`;
}

function hex(bytes: Uint8Array): string {
	return bytes.length > 32 ? `${bytes.length} bytes` : [...bytes].map((b) => b.toString(16).padStart(2, "0")).join(" ");
}

const FLAGS = ["remote", "retryable", "overloaded", "durableObjectReset"] as const;

/** What was thrown: name, message, and the flags that tell a caller what to do. */
export function complaint(e: unknown): string {
	if (!(e instanceof Error) && !(e instanceof DOMException)) return `threw ${show(e)}`;
	const flags = FLAGS.filter((f) => (e as unknown as Record<string, unknown>)[f] === true);
	const message = e.message.length > 400 ? `${e.message.slice(0, 60)}… of ${e.message.length}` : e.message;
	return `${e.name}: ${message.replaceAll("\n", "\\n")}${flags.length ? ` {${flags.join(", ")}}` : ""}`;
}

/** Calls f and tells what it returned or threw. */
export function outcome(f: () => unknown): string {
	try {
		return show(f());
	} catch (e) {
		return complaint(e);
	}
}

/** Like outcome, for what is awaited. */
export async function settled(f: () => unknown): Promise<string> {
	try {
		return show(await f());
	} catch (e) {
		return complaint(e);
	}
}

/** Tells under a label what f returned, or threw at any time. */
export function labelled({ say }: { say(line: string): void }) {
	return async (label: string, f: () => unknown): Promise<void> => say(`${label}: ${await settled(async () => f())}`);
}
