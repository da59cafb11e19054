/*
 * What a statement may touch, and what it is: SQLite asks before it compiles each access, and the
 * answers to "does this write?" and "could a step of it fail?" are learned on the way.
 *
 * Cloudflare: "SQL API", supported features. The lists are what workerd 1.20261117.1 answers.
 */

/** Action codes; https://www.sqlite.org/c3ref/c_alter_table.html. What is not here is refused. */
const sqlite = {
  CREATE_INDEX: 1, CREATE_TABLE: 2, CREATE_TRIGGER: 7, CREATE_VIEW: 8, DELETE: 9, DROP_INDEX: 10, DROP_TABLE: 11,
  DROP_TRIGGER: 16, DROP_VIEW: 17, INSERT: 18, PRAGMA: 19, READ: 20, SELECT: 21, TRANSACTION: 22, UPDATE: 23,
  ALTER_TABLE: 26, REINDEX: 27, ANALYZE: 28, CREATE_VTABLE: 29, DROP_VTABLE: 30, FUNCTION: 31, SAVEPOINT: 32,
  RECURSIVE: 33,
} as const;

export const allow = 0;
const deny = 1;

/** What is learned about a statement while it is compiled. */
export interface Effects {
  /** Anything was asked at all. */
  asked: boolean;
  /** It may change the database or the connection, so it runs within a transaction. */
  writes: boolean;
  /** It changes the schema: names of columns and kinds of tables that are known have to be asked for again. */
  schema: boolean;
  /** It alters a table; of a new name that it gives SQLite does not ask. */
  alters: boolean;
  /** It changes the state of the connection, which must not outlive the instance. */
  connection: boolean;
  /** It asks for what a connection knows of its last statements. */
  remembers: boolean;
  /** No function in it can fail on a value. */
  total: boolean;
  /** It may produce rows without end. */
  recursive: boolean;
  /** A trigger runs within it. */
  triggers: boolean;
  /** Tables and views that it reads, as they were spelled in the schema. */
  readonly reads: Set<string>;
  /** Tables that rows are inserted into, updated (and which columns) or deleted from. */
  readonly inserts: Set<string>;
  readonly deletes: Set<string>;
  readonly updates: Map<string, Set<string>>;
  /** Objects that it creates: `table x` or `index x on y`. */
  creates: { readonly kind: "table" | "index"; readonly name: string; readonly table: string } | undefined;
  /** Why it was refused, if SQLite's own words would not say it. */
  refusal: string | undefined;
}

export function noEffects(): Effects {
  return {
    asked: false, writes: false, schema: false, alters: false, connection: false, remembers: false, total: true, recursive: false, triggers: false,
    reads: new Set(), inserts: new Set(), deletes: new Set(), updates: new Map(), creates: undefined, refusal: undefined,
  };
}

const useTransactions = "To execute a transaction, please use the state.storage.transaction() or "
  + "state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. "
  + "The JavaScript API is safer because it will automatically roll back on exceptions, and because it interacts "
  + "correctly with Durable Objects' automatic atomic write coalescing.";

/** Functions that never fail on a value, so that a step of a query which calls no other cannot throw. */
const totalFunctions = new Set(`changes coalesce concat concat_ws count current_date current_time current_timestamp
  date datetime group_concat hex ifnull iif if instr last_insert_rowid length lower ltrim max min nullif octet_length
  quote random round row_number rank dense_rank rtrim strftime string_agg substr substring time total total_changes
  trim typeof unicode unixepoch upper`.split(/\s+/));

/** Functions that a connection which was opened anew would answer otherwise. */
const ofTheConnection: ReadonlySet<string> = new Set(["changes", "last_insert_rowid", "total_changes"]);

const allowedFunctions = new Set([...totalFunctions, ...`-> ->> abs acos acosh asin asinh atan atan2 atanh avg bm25
  ceil char cos cosh cume_dist degrees exp first_value floor format glob highlight json json_array json_array_length
  json_each json_extract json_group_array json_group_object json_insert json_object json_patch json_quote json_remove
  json_replace json_set json_tree json_type json_valid jsonb jsonb_array jsonb_extract jsonb_group_array
  jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set julianday lag
  last_value lead like likelihood likely ln load_extension log log2 match mod nth_value ntile percent_rank pi pow printf radians
  randomblob replace rtreecheck sign sin sinh snippet soundex sqrt sum tan tanh timediff trunc unhex unlikely
  zeroblob`.split(/\s+/)]);

/** What ALTER TABLE calls; SQLite lets nobody else call them. */
const alterTable = /^sqlite_(rename|drop|add|find|fail)/;

/** Functions that this SQLite has and workerd's has not: they are not refused there, they do not exist. */
const absentFunctions = /^(fts3_tokenizer|geopoly_.*|matchinfo|median|offsets|optimize|percentile.*)$/;

/** Tables that this SQLite has without anybody making them, and workerd's has not. */
const absentTables = /^(dbstat|fts3tokenize)$/i;

const allowedModules = new Set(["fts5", "fts5vocab", "rtree", "rtree_i32"]);

type PragmaArgument = "none" | "boolean" | "name" | "name?" | "number?" | "number or name?" | "anything";

const pragmas: ReadonlyMap<string, PragmaArgument> = new Map<string, PragmaArgument>([
  ["data_version", "none"], ["page_size", "none"], ["table_list", "anything"],
  ["case_sensitive_like", "boolean"], ["defer_foreign_keys", "boolean"], ["foreign_keys", "boolean"],
  ["ignore_check_constraints", "boolean"], ["legacy_alter_table", "boolean"], ["recursive_triggers", "boolean"],
  ["reverse_unordered_selects", "boolean"],
  ["foreign_key_list", "name"], ["index_info", "name"], ["index_list", "name"], ["index_xinfo", "name"],
  ["table_info", "name"], ["table_xinfo", "name"],
  ["foreign_key_check", "name?"], ["optimize", "number?"], ["quick_check", "number or name?"],
]);

/** Answers for a statement of the author's, and notes in `effects` what it is. */
export function judge(
  effects: Effects, action: number, first: string | null, second: string | null, database: string | null, inner: string | null,
): number {
  // For these SQLite gives the name of the database first.
  if (action === sqlite.ALTER_TABLE) [first, database] = [second, first];
  if (database === "temp") return judgeTemporary(action, first);
  if (database !== null && database !== "main") return deny;
  effects.asked = true;
  note(effects, action, first, second, inner);
  switch (action) {
    case sqlite.SELECT:
    case sqlite.RECURSIVE:
    case sqlite.ANALYZE: // The statistics of our tables are no secret, and PRAGMA optimize gathers them.
      return allow;
    case sqlite.READ:
      if (absentTables.test(`${first}`)) {
        effects.refusal = `no such table: ${first}`;
        return deny;
      }
      return isOurs(first) ? deny : allow;
    case sqlite.UPDATE:
    case sqlite.INSERT:
    case sqlite.DELETE:
    case sqlite.CREATE_TABLE:
    case sqlite.DROP_TABLE:
    case sqlite.CREATE_VIEW:
    case sqlite.DROP_VIEW:
    case sqlite.ALTER_TABLE:
    case sqlite.REINDEX:
      return isOurs(first) ? deny : allow;
    case sqlite.CREATE_INDEX:
    case sqlite.DROP_INDEX:
    case sqlite.CREATE_TRIGGER:
    case sqlite.DROP_TRIGGER:
      return isOurs(first) || isOurs(second) ? deny : allow;
    case sqlite.CREATE_VTABLE:
    case sqlite.DROP_VTABLE:
      return allowedModules.has(`${second}`.toLowerCase()) ? allow : deny;
    case sqlite.TRANSACTION:
    case sqlite.SAVEPOINT:
      effects.refusal = useTransactions;
      return deny;
    case sqlite.PRAGMA:
      return isAllowedPragma(`${first}`.toLowerCase(), second) ? allow : deny;
    case sqlite.FUNCTION:
      return judgeFunction(effects, `${second}`);
    default: // ATTACH, DETACH, temporary tables, and whatever SQLite may learn to do.
      return deny;
  }
}

/** SQLite itself reads from its temporary schema; nothing may be made there. */
function judgeTemporary(action: number, table: string | null): number {
  return action === sqlite.READ || action === sqlite.UPDATE ? (isOurs(table) ? deny : allow) : deny;
}

/** Names that begin so belong to the storage itself. */
export function isOurs(name: string | null): boolean {
  return name !== null && name.length >= 4 && name.slice(0, 4).toLowerCase() === "_cf_";
}

function judgeFunction(effects: Effects, name: string): number {
  if (!totalFunctions.has(name)) effects.total = false;
  if (ofTheConnection.has(name)) effects.remembers = true;
  if (allowedFunctions.has(name) || alterTable.test(name)) return allow;
  if (absentFunctions.test(name)) effects.refusal = `no such function: ${name}`;
  return deny;
}

function isAllowedPragma(name: string, argument: string | null): boolean {
  const kind = pragmas.get(name);
  if (kind === undefined) return false;
  if (kind === "anything") return true;
  if (argument === null) return kind !== "name";
  switch (kind) {
    case "none": return false;
    case "boolean": return /^(['"]?)(true|false|yes|no|on|off|1|0)\1$/i.test(argument);
    case "number?": return /^[+-]?\d+$/.test(argument);
    case "number or name?": return /^\d+$/.test(argument) || !isOurs(argument);
    default: return !isOurs(argument);
  }
}

function note(effects: Effects, action: number, first: string | null, second: string | null, inner: string | null): void {
  switch (action) {
    case sqlite.SELECT:
    case sqlite.FUNCTION:
      return;
    case sqlite.READ:
      effects.reads.add(`${first}`);
      return;
    case sqlite.RECURSIVE:
      effects.recursive = true;
      return;
    case sqlite.PRAGMA:
      effects.total = false;
      if (second !== null && pragmas.get(`${first}`.toLowerCase()) === "boolean") effects.writes = effects.connection = true;
      if (`${first}`.toLowerCase() === "optimize") effects.writes = true;
      return;
    case sqlite.INSERT:
      effects.inserts.add(`${first}`);
      break;
    case sqlite.DELETE:
      effects.deletes.add(`${first}`);
      break;
    case sqlite.UPDATE:
      if (!effects.updates.has(`${first}`)) effects.updates.set(`${first}`, new Set());
      effects.updates.get(`${first}`)!.add(`${second}`);
      break;
    case sqlite.CREATE_TABLE:
      effects.creates ??= { kind: "table", name: `${first}`, table: `${first}` };
      effects.schema = true;
      break;
    case sqlite.CREATE_INDEX:
      effects.creates ??= { kind: "index", name: `${first}`, table: `${second}` };
      effects.schema = true;
      break;
    case sqlite.ALTER_TABLE:
      effects.alters = effects.schema = true;
      break;
    default:
      effects.schema = true;
  }
  effects.writes = true;
  if (inner !== null) effects.triggers = true;
}
