// The input gate, blockConcurrencyWhile, waitUntil, abort, and what one event
// sees of another.

import { Probes, sleep, wrong } from "../probe";

export const gates: Probes = {
	/** Reads, adds one, writes, and sends what it wrote: exact only if no other event comes between. */
	async inc(t) {
		const n = ((await t.ctx.storage.get<number>("n")) ?? 0) + 1;
		await t.ctx.storage.put("n", n);
		t.ws?.send(String(n));
		if (!t.ws) t.say(String(n));
	},

	async "inc-sql"(t) {
		const { sql } = t.ctx.storage;
		sql.exec("CREATE TABLE IF NOT EXISTS counter (n INTEGER)");
		const rows = sql.exec<{ n: number }>("SELECT n FROM counter").toArray();
		const n = (rows[0]?.n ?? 0) + 1;
		sql.exec(rows.length ? "UPDATE counter SET n = ?" : "INSERT INTO counter VALUES (?)", n);
		t.ws?.send(String(n));
	},

	/** Reads twice with an await between; another event's write may not show. */
	async "read-twice"(t) {
		const first = (await t.ctx.storage.get<number>("n")) ?? 0;
		const second = (await t.ctx.storage.get<number>("n")) ?? 0;
		const before = (t.memory.get("read") as number | undefined) ?? 0;
		t.memory.set("read", second);
		t.ws?.send(first === second && first >= before ? "whole" : `${before} ${first} ${second}`);
	},

	/** The same with a wait that is no storage: others come between. */
	async "inc-open"(t) {
		const n = ((await t.ctx.storage.get<number>("n")) ?? 0) + 1;
		await sleep(50);
		await t.ctx.storage.put("n", n);
		t.ws?.send(String(n));
	},

	async wait(t) {
		t.say(`${t.args[1]} begins`);
		await sleep(Number(t.args[0]));
		t.say(`${t.args[1]} ends`);
	},

	async microtasks(t) {
		t.say(`${t.args[0]} begins`);
		for (let i = 0; i < 5; i++) await Promise.resolve();
		t.say(`${t.args[0]} ends`);
	},

	/** A section of the given length. */
	async block(t) {
		await t.ctx.blockConcurrencyWhile(async () => {
			t.say(`section ${t.args[1]} begins`);
			await sleep(Number(t.args[0]));
			t.say(`section ${t.args[1]} ends`);
		});
		t.say(`behind section ${t.args[1]}`);
	},

	async "block-returns"(t) {
		const { ctx } = t;
		await t.observeAsync("a value from a promise", () => ctx.blockConcurrencyWhile(async () => 5));
		await t.observeAsync("a value without a promise", () => ctx.blockConcurrencyWhile(wrong(() => 6)));
		await t.observeAsync("nothing", () => ctx.blockConcurrencyWhile(async () => {}));
		t.say(`returns a ${ctx.blockConcurrencyWhile(async () => {}).constructor.name}`);
		await t.observeAsync("nested", () => ctx.blockConcurrencyWhile(() => ctx.blockConcurrencyWhile(async () => "inner")));
		await t.observeAsync("storage inside", () =>
			ctx.blockConcurrencyWhile(async () => {
				await ctx.storage.put("inside", 1);
				await sleep(1);
				return ctx.storage.get("inside");
			}),
		);
		const order: string[] = [];
		const sections = [1, 2].map((n) =>
			ctx.blockConcurrencyWhile(async () => {
				order.push(`${n} begins`);
				await sleep(5);
				order.push(`${n} ends`);
			}),
		);
		order.push("both asked for");
		await Promise.all(sections);
		t.say(order.join(", "));
	},

	async "block-deep"(t) {
		const down = (depth: number): Promise<string> => (depth === 0 ? Promise.resolve("reached") : t.ctx.blockConcurrencyWhile(() => down(depth - 1)));
		await t.observeAsync("60 deep", () => down(60));
	},

	async "block-too-deep"(t) {
		const down = (depth: number): Promise<string> => (depth === 0 ? Promise.resolve("reached") : t.ctx.blockConcurrencyWhile(() => down(depth - 1)));
		await t.observeAsync("70 deep", () => down(70));
	},

	"too-many-timers"(t) {
		const timers: number[] = [];
		const set = (n: number) => {
			for (let i = 0; i < n; i++) timers.push(setTimeout(() => {}, 3_600_000) as unknown as number);
			return timers.length;
		};
		t.observe("10,000", () => set(10_000));
		t.observe("one more", () => set(1));
		timers.forEach(clearTimeout);
		t.observe("after they were cleared", () => set(1));
		timers.forEach(clearTimeout);
		t.observe("typeof setTimeout()", () => {
			const timer = setTimeout(() => {}, 0);
			clearTimeout(timer);
			return typeof timer;
		});
	},

	/** Fails; the catch never runs, since the instance is gone. */
	async "block-fails"(t) {
		try {
			await t.ctx.blockConcurrencyWhile(async () => {
				t.memory.set("in the section", true);
				throw new RangeError("the section threw");
			});
			t.say("went on");
		} catch {
			t.say("caught");
		} finally {
			t.say("finally");
		}
	},

	async "transaction-fails"(t) {
		await t.observeAsync("transaction", () =>
			t.ctx.storage.transaction(async (txn) => {
				await txn.put("n", 99);
				throw new RangeError("the transaction threw");
			}),
		);
		await t.observeAsync("n", () => t.ctx.storage.get("n"));
	},

	"wait-until-rejects"(t) {
		t.ctx.waitUntil(Promise.reject(new Error("rejected in waitUntil")));
		t.say(`returns ${t.ctx.waitUntil(Promise.resolve(1))}`);
	},

	/** Ends the instance; nothing behind it runs. */
	abort(t) {
		try {
			const reason = t.args.length ? t.args.join(" ") : undefined;
			t.ctx.abort(reason);
			t.say("went on");
		} catch {
			t.say("caught");
		} finally {
			t.say("finally");
		}
	},

	async "write-then-abort"(t) {
		await t.ctx.storage.put("committed", 1);
		await t.ctx.storage.sync();
		t.ctx.storage.kv.put("uncommitted", 1);
		t.ctx.abort("after a write");
	},

	async "read-after-abort"(t) {
		await t.observeAsync("committed", () => t.ctx.storage.get("committed"));
		await t.observeAsync("uncommitted", () => t.ctx.storage.get("uncommitted"));
	},

	throw(t) {
		throw new RangeError(t.args.join(" ") || "thrown");
	},

	"throw-string"() {
		throw "a string";
	},

	reject: (t) => Promise.reject(new TypeError(t.args.join(" ") || "rejected")),

	/** A rejection that nobody waits for. */
	"reject-aside"(t) {
		void Promise.reject(new Error("nobody waits"));
		t.say("went on");
	},

	remember(t) {
		t.memory.set("remembered", t.args.join(" "));
	},

	name: (t) => t.say(`ctx.id.name has ${t.ctx.id.name?.length} characters`),

	remembered(t) {
		t.observe("remembered", () => t.memory.get("remembered"));
	},

	"alarm-in": (t) => t.ctx.storage.setAlarm(Date.now() + Number(t.args[0])),

	// What keeps an object in memory, or does not.

	"keep-timer"(t) {
		setTimeout(() => {}, 3_600_000);
		t.say("a timer is pending");
	},

	"keep-interval"(t) {
		t.memory.set("interval", setInterval(() => {}, 3_600_000));
	},

	"stop-interval"(t) {
		clearInterval(t.memory.get("interval") as number);
	},

	"keep-promise"(t) {
		t.memory.set("promise", new Promise(() => {}));
	},

	"keep-wait-until"(t) {
		t.ctx.waitUntil(new Promise(() => {}));
	},

	"keep-abort-signal"() {
		AbortSignal.timeout(3_600_000);
	},

	"keep-fetch"(t) {
		void fetch(`http://${t.args[0]}/hangs`).catch(() => {});
	},

	"keep-call"(t) {
		void (t.env.Room.getByName(`${t.ctx.id.name}.other`) as unknown as { slow(ms: number): Promise<string> }).slow(Number(t.args[0])).catch(() => {});
	},
};
