// Point-in-time recovery: what storage says of its past, and goes back to.

import { Probes, wrong } from "../probe";
import { settled } from "../show";

const SHAPE = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;

/**
 * Bookmarks by the names that a script gives them. They are kept beside the
 * objects: one that goes back forgets what it knew, in memory and in storage.
 */
const kept = new Map<string, string>();

/** Bookmarks and times are others in each run: of a bookmark its shape is told. */
const told = async (f: () => Promise<string>): Promise<string> => {
	const said = await settled(f);
	return SHAPE.test(said.slice(1, -1)) ? "a bookmark" : said.replace(/\d{4}-\d\d-\d\dT[\d:]+Z/, "TIME");
};

export const past: Probes = {
	/** Bookmarks of now: their kind, and how they follow each other. */
	async "past-now"(t) {
		const { storage } = t.ctx;
		const first = await storage.getCurrentBookmark();
		t.say(`getCurrentBookmark(): ${await told(async () => first)}`);
		t.say(`getCurrentBookmark("x"): ${await told(() => wrong(storage).getCurrentBookmark("x"))}`);
		const before = await storage.getCurrentBookmark();
		await storage.put("written", 1);
		const after = await storage.getCurrentBookmark();
		t.say(`after a write it is greater: ${before < after}, never less: ${first <= before}`);
	},

	/** Times that are none, or that there is no state of. */
	async "past-times"(t) {
		const { storage } = t.ctx;
		const day = 86_400_000;
		const times: [string, unknown[]][] = [
			["", []],
			['"yesterday"', ["yesterday"]],
			["null", [null]],
			["{}", [{}]],
			["NaN", [NaN]],
			["1", [1]],
			["new Date(0)", [new Date(0)]],
			["tomorrow", [Date.now() + day]],
			["now", [Date.now()]],
			["a Date of now", [new Date()]],
		];
		for (const [label, args] of times) t.say(`getBookmarkForTime(${label}): ${await told(() => wrong(storage).getBookmarkForTime(...args))}`);
	},

	/** Bookmarks that are none, or lead nowhere; the argument names one of another object. */
	async "past-marks"(t) {
		const { storage } = t.ctx;
		const now = await storage.getCurrentBookmark();
		const marks: [string, unknown[]][] = [
			["", []],
			['""', [""]],
			['"nonsense"', ["nonsense"]],
			["null", [null]],
			["7", [7]],
			["another object's", [kept.get(t.args[0])]],
			["one to come", [`0fffffff${now.slice(8)}`]],
			["one of long ago", [`00000000-00000001-00000000${now.slice(26)}`]],
		];
		for (const [label, args] of marks) {
			t.say(`onNextSessionRestoreBookmark(${label}): ${await told(() => wrong(storage).onNextSessionRestoreBookmark(...args))}`);
		}
	},

	/** Stores a number as a value and as a row, with an alarm in as many hours. */
	async "past-write"(t) {
		const { storage } = t.ctx;
		const n = Number(t.args[0]);
		storage.kv.put("last", n);
		storage.sql.exec("CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)");
		storage.sql.exec("INSERT INTO numbers VALUES (?)", n);
		await storage.setAlarm(Date.now() + n * 3_600_000);
	},

	/** What "past-write" has stored. */
	async "past-read"(t) {
		const { storage } = t.ctx;
		t.say(`last ${storage.kv.get("last")}`);
		const tables = storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'numbers'").toArray().length;
		const rows = tables === 0 ? [] : storage.sql.exec<{ n: number }>("SELECT n FROM numbers ORDER BY n").toArray();
		t.say(`rows [${rows.map((row) => row.n).join(", ")}]`);
		const alarm = await storage.getAlarm();
		t.say(`alarm ${alarm === null ? "null" : `in ${Math.round((alarm - Date.now()) / 3_600_000)} h`}`);
	},

	/** Keeps the bookmark of now under a name. */
	async "past-keep"(t) {
		kept.set(t.args[0], await t.ctx.storage.getCurrentBookmark());
	},

	/** Has the object go back to a bookmark when it next begins; what undoes that is kept as "undo". */
	async "past-back"(t) {
		const said = await told(async () => {
			const undo = await t.ctx.storage.onNextSessionRestoreBookmark(kept.get(t.args[0]) ?? "");
			kept.set("undo", undo);
			return undo;
		});
		t.say(`onNextSessionRestoreBookmark: ${said}`);
	},
};
