/*
 * Where our answer is another on purpose, and why.
 */

interface Difference {
  why: string;
  ours: { value?: unknown; error?: string };
}

const notStored = (name: string): Difference => ({
  why: "workerd writes it and cannot be asked to read it back as such",
  ours: { error: `DataCloneError: Could not serialize object of type "${name}". This type does not support serialization.` },
});

export const differs: Record<string, Difference> = {
  "attachment Request": notStored("Request"),
  "attachment Headers": notStored("Headers"),
  "Response.redirect relative": { why: "Workers of older dates rely on it", ours: { value: [302, "/rel"] } },
  "caches": { why: "workerd has no cache unless one is configured; ours is always empty", ours: { value: ["object", "(undefined)", "object"] } },
};
