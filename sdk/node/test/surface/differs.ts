/*
 * Where our answer is another on purpose, and why.
 */

interface Difference {
  why: string;
  ours: { value?: unknown; error?: string };
}

const withoutNew = (name: string): Difference => ({
  why: "V8 says so before a class can",
  ours: { error: `TypeError: Class constructor ${name} cannot be invoked without 'new'` },
});

const notStored = (name: string): Difference => ({
  why: "workerd writes it and cannot be asked to read it back as such",
  ours: { error: `DataCloneError: Could not serialize object of type "${name}". This type does not support serialization.` },
});

const timerId = (): Difference => ({ why: "timers are numbers at every date", ours: { value: "number" } });

export const differs: Record<string, Difference> = {
  "new WebSocketPair without new": withoutNew("WebSocketPair"),
  "Response without new": withoutNew("Response"),
  "attachment Request": notStored("Request"),
  "attachment Headers": notStored("Headers"),
  "Response.redirect relative": { why: "Workers of older dates rely on it", ours: { value: [302, "/rel"] } },
  "setTimeout returns": timerId(),
  "setInterval returns": timerId(),
  "HTMLRewriter": { why: "not offered", ours: { value: "undefined" } },
  "EventSource": { why: "not offered", ours: { value: "undefined" } },
  "caches": { why: "workerd has no cache unless one is configured; ours is always empty", ours: { value: ["object", "(undefined)", "object"] } },
};
