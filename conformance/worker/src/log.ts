// What the objects of this Worker went through, kept beside the instances so
// that it outlives them, and read by the script without touching the object.

const logs = new Map<string, string[]>();

/** Adds a line to the object's log. */
export function note(object: string, line: string): void {
	const lines = logs.get(object);
	if (lines) lines.push(line);
	else logs.set(object, [line]);
}

/** The object's lines from the given one on. */
export function noted(object: string, from: number): string[] {
	return (logs.get(object) ?? []).slice(from);
}

const plans = new Map<string, string>();

/** Says what the constructor of the object shall do from now on. */
export function plan(object: string, what: string): void {
	plans.set(object, what);
}

/** What the constructor of the object shall do. */
export function planned(object: string): string {
	return plans.get(object) ?? "";
}
