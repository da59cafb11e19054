/*
 * SQL as tokens: just enough of SQLite's tokenizer to count the parameters of a statement and to
 * find the place that an error speaks of, both of which `node:sqlite` keeps to itself.
 */

export interface Token {
  /** A name or keyword, a parameter, or anything else. */
  readonly kind: "word" | "parameter" | "other";
  /** As written, quotes included. */
  readonly text: string;
  /** Where it begins, in UTF-16 units. */
  readonly at: number;
}

// In SQLite's order: space and comments; strings and quoted names; numbers; parameters; words; operators.
const pattern = new RegExp([
  String.raw`(?<space>[\s\f]+|--[^\n]*|/\*[\s\S]*?(?:\*/|$))`,
  String.raw`(?<quoted>"(?:[^"]|"")*"|${"`"}(?:[^${"`"}]|${"`"}${"`"})*${"`"}|\[[^\]]*\])`,
  String.raw`(?<text>[xX]?'(?:[^']|'')*')`,
  String.raw`(?<number>0[xX][0-9a-fA-F_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)`,
  String.raw`(?<parameter>\?\d*|[:@#][A-Za-z_$0-9\u0080-\uffff]+|\$(?:[A-Za-z_$0-9\u0080-\uffff]|::)+(?:\([^)\s]*\))?)`,
  String.raw`(?<word>[A-Za-z_\u0080-\uffff][A-Za-z_$0-9\u0080-\uffff]*)`,
  String.raw`(?<other>->>|->|\|\||<=|>=|<>|<<|>>|==|!=|[\s\S])`,
].join("|"), "y");

/** The tokens of `sql` without space and comments. */
export function* tokens(sql: string): Generator<Token> {
  pattern.lastIndex = 0;
  for (let at = 0; at < sql.length; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const found = pattern.exec(sql);
    if (found === null) return;
    // A generator may be left for another one of the same pattern, so the place is kept here.
    const next = pattern.lastIndex;
    const { space, quoted, word, parameter } = found.groups!;
    const kind = word !== undefined || quoted !== undefined ? "word" : parameter !== undefined ? "parameter" : "other";
    if (space === undefined) yield { kind, text: found[0], at };
    pattern.lastIndex = next;
  }
}

/** The parameters of a statement: how many values it takes, and which of them have names that must be bound by. */
export interface Parameters {
  readonly count: number;
  /** The full name of parameter i + 1 (`:a`), or undefined if it is bound by its place. */
  readonly names: readonly (string | undefined)[];
  readonly named: boolean;
}

/** Counts as SQLite does: `?` is one more than the largest so far, `?5` is 5, a new name is one more. */
export function parametersOf(sql: string): Parameters {
  if (!/[?:@$#]/.test(sql)) return noParameters;
  const names: (string | undefined)[] = [];
  for (const { kind, text } of tokens(sql)) {
    if (kind !== "parameter") continue;
    if (text === "?") names.push(undefined);
    else if (text[0] === "?") while (names.length < Number(text.slice(1)) && names.length < maxParameters) names.push(undefined);
    else if (!names.includes(text)) names.push(text);
  }
  return { count: names.length, names, named: names.some((name) => name !== undefined) };
}

const noParameters: Parameters = { count: 0, names: [], named: false };
const maxParameters = 32766;

/** What a word names, without its quotes, in lower case. */
export function nameOf(token: Token): string {
  const { text } = token;
  const open = text[0]!;
  if (open === "[") return text.slice(1, -1).toLowerCase();
  if (open === '"' || open === "`") return text.slice(1, -1).replaceAll(open + open, open).toLowerCase();
  return text.toLowerCase();
}
