// Alarms: what may be set, what getAlarm tells, and what a handler sees and does.

import { note, planned } from "../log";
import { Probe, Probes, sleep, wrong } from "../probe";
import { outcome, show, settled } from "../show";

/** The alarm as a script can know it. */
async function tell(storage: DurableObjectStorage): Promise<string> {
	const at = await storage.getAlarm();
	if (at === null) return "null";
	if (at === storage.kv.get("set")) return "as it was set";
	return Math.abs(at - Date.now()) < 5000 ? "another, about now" : "another, far away";
}

async function set(storage: DurableObjectStorage, ms: number, options?: DurableObjectSetAlarmOptions): Promise<void> {
	const at = Date.now() + ms;
	storage.kv.put("set", at);
	await storage.setAlarm(at, options);
}

const far = 3_600_000;

/** What a plan may have the handler do, one word after the other. */
const deeds: Record<string, (ctx: DurableObjectState, say: (line: string) => void) => unknown> = {
	"alarm-gets": async ({ storage }, say) => say(`getAlarm ${await tell(storage)}`),
	"alarm-sets": ({ storage }) => set(storage, far),
	"alarm-sets-soon": ({ storage }) => set(storage, 300),
	"alarm-sets-past": ({ storage }) => set(storage, -far),
	"alarm-deletes": ({ storage }) => storage.deleteAlarm(),
	"alarm-deletes-all": ({ storage }) => storage.deleteAll(),
	"alarm-syncs": ({ storage }) => storage.sync(),
	"alarm-waits": () => sleep(1500),
	"alarm-writes": ({ storage }) => storage.kv.put("runs", (storage.kv.get<number>("runs") ?? 0) + 1),
	"alarm-reads": ({ storage }, say) => say(`runs ${show(storage.kv.get("runs"))}`),
	"alarm-throws": () => {
		throw new Error("the alarm handler threw");
	},
	"alarm-aborts": (ctx) => ctx.abort("the alarm aborts"),
	"alarm-aborts-for-good": (ctx) => ctx.abort("the alarm aborts for good", { retryAlarm: false }),
	"alarm-blocks": (ctx) =>
		ctx.blockConcurrencyWhile(async () => {
			throw new Error("the alarm's section threw");
		}),
	"alarm-sends": (ctx, say) => {
		const all = ctx.getWebSockets();
		say(`sockets ${all.length}, attachments ${show(all.map((ws) => ws.deserializeAttachment()))}`);
		for (const ws of all) ws.send("from the alarm");
	},
	"alarm-rolls-back": async ({ storage }) => {
		await storage
			.transaction(async (txn) => {
				await txn.setAlarm(Date.now() + far);
				throw new Error("rolled back");
			})
			.catch(() => {});
	},
};

/** The handler of Room: it tells what it was given and does what is planned, as of now. */
export async function ring(ctx: DurableObjectState, name: string, info: AlarmInvocationInfo | undefined): Promise<void> {
	const say = (line: string) => note(name, line);
	const plan = planned(name).split(" ");
	say(`alarm, retry ${show(info?.isRetry)}, count ${show(info?.retryCount)}, name ${show(ctx.id.name)}`);
	if (plan.includes("alarm-info")) {
		const { scheduledTime } = info as unknown as { scheduledTime: number };
		say(`info has ${Object.keys(info ?? {}).sort().join(", ")}; scheduledTime is ${scheduledTime === ctx.storage.kv.get("set") ? "as it was set" : show(typeof scheduledTime)}`);
	}
	for (const word of plan) {
		if (!Object.hasOwn(deeds, word)) continue;
		const done = deeds[word](ctx, (line) => say(`in alarm: ${line}`));
		if (done !== undefined) await done;
	}
	if (plan.includes("alarm-ends")) say("alarm ends");
}

export const alarms: Probes = {
	"set-alarm": (t) => set(t.ctx.storage, Number(t.args[0])),
	"set-alarm-unconfirmed": (t) => set(t.ctx.storage, Number(t.args[0]), { allowUnconfirmed: true }),
	async "get-alarm"(t) {
		t.say(`getAlarm ${await tell(t.ctx.storage)}`);
	},
	"delete-alarm": (t) => t.ctx.storage.deleteAlarm(),
	"delete-all": (t) => t.ctx.storage.deleteAll(),
	runs: (t) => t.say(`runs ${show(t.ctx.storage.kv.get("runs"))}`),

	/** What setAlarm takes, and what it makes of it. */
	async "alarm-values"(t) {
		const { storage } = t.ctx;
		const base = Math.floor(Date.now() / 1000) * 1000 + far;
		const values: [string, unknown][] = [
			["a number", base],
			["a Date", new Date(base)],
			["a fraction", base + 0.9],
			["zero", 0],
			["a negative number", -1],
			["a Date before 1970", new Date(-1)],
			["NaN", NaN],
			["infinity", Infinity],
			["an invalid Date", new Date(NaN)],
			["a string", "2100-01-01"],
			["a string of digits", String(base)],
			["null", null],
			["undefined", undefined],
			["true", true],
			["a bigint", BigInt(base)],
			["an object", { valueOf: () => base }],
			["2189", Date.UTC(2189, 0, 1)],
			["2200", Date.UTC(2200, 0, 1)],
			["the largest Date", new Date(8.64e15)],
		];
		for (const [what, value] of values) {
			await storage.deleteAlarm();
			const said = await settled(() => storage.setAlarm(wrong(value)));
			const at = await storage.getAlarm();
			t.say(`${what}: ${said}, getAlarm ${at === null ? "null" : at === base ? "equal" : show(new Date(at).getUTCFullYear() > 2100 ? at : "another")}`);
		}
		t.say(`no argument: ${await settled(() => wrong(storage).setAlarm())}`);
		t.say(`no options: ${await settled(() => storage.setAlarm(base, wrong(5)))}`);
		t.say(`thrown at once: ${outcome(() => typeof wrong(storage).setAlarm(0)?.then)}`);
		t.say(`getAlarm with wrong options: ${await settled(() => storage.getAlarm(wrong(5)))}`);
		await storage.deleteAlarm();
		t.say(`deleteAlarm without one: ${await settled(() => storage.deleteAlarm())}`);
	},

	/** An alarm is part of its transaction. */
	async "alarm-transactions"(t) {
		const { storage } = t.ctx;
		await set(storage, far);
		await storage
			.transaction(async (txn) => {
				await txn.deleteAlarm();
				t.say(`in the transaction: ${show(await txn.getAlarm())}`);
				throw new Error("rolled back");
			})
			.catch(() => {});
		t.say(`rolled back: ${await tell(storage)}`);
		await storage.transaction(async (txn) => {
			await txn.deleteAlarm();
			txn.rollback();
		});
		t.say(`rolled back by hand: ${await tell(storage)}`);
		try {
			storage.transactionSync(() => {
				void storage.setAlarm(Date.now() + 2 * far);
				throw new Error("rolled back");
			});
		} catch {}
		t.say(`rolled back at once: ${await tell(storage)}`);
		await storage.transaction(async (txn) => {
			await txn.setAlarm(Date.now() + 2 * far);
		});
		t.say(`committed: ${await tell(storage)}`);
		await storage.deleteAll();
		t.say(`after deleteAll: ${await tell(storage)}`);
	},

	/** Whether the alarm can be seen where authors have no business. */
	async "alarm-rows"(t: Probe) {
		await set(t.ctx.storage, far);
		t.observe("its table", () => t.ctx.storage.sql.exec("SELECT * FROM _cf_METADATA").toArray());
		t.say(`keys: ${show([...(await t.ctx.storage.list()).keys()])}`);
		await t.ctx.storage.deleteAlarm();
	},
};
