// What a Worker sees of its objects: ids, namespaces, stubs, errors.

import * as workers from "cloudflare:workers";
import { Env, wrong } from "../probe";
import { outcome, settled, show } from "../show";
import { bodies } from "./bodies";
import { fetching } from "./fetching";
import { platform } from "./platform";
import { rpc } from "./rpc";
import { rpcBlobs } from "./rpc-blobs";
import { rpcStubs } from "./rpc-stubs";

export interface Front {
	env: Env;
	args: string[];
	say(line: string): void;
}

export const front: Record<string, (t: Front) => unknown> = {
	...bodies,
	...fetching,
	...platform,
	...rpc,
	...rpcBlobs,
	...rpcStubs,

	"module-exports"({ say }) {
		for (const name of ["DurableObject", "WorkerEntrypoint", "RpcTarget", "RpcStub", "RpcPromise", "RpcProperty", "ServiceStub", "env", "exports", "waitUntil", "withEnv", "withExports", "withEnvAndExports"]) {
			say(`${name}: ${typeof wrong(workers)[name]}`);
		}
		say(`env has the bindings: ${show(Object.keys(workers.env).sort())}`);
	},

	ids({ env, say }) {
		const ns = wrong(env.Room);
		const o = (label: string, f: () => unknown) => say(`${label}: ${outcome(f)}`);
		o("idFromName('a')", () => ns.idFromName("a").toString());
		o("idFromName('')", () => ns.idFromName("").toString());
		o("idFromName('é')", () => ns.idFromName("é").toString());
		o("idFromName(1)", () => ns.idFromName(1).name);
		o("idFromName()", () => ns.idFromName());
		o("of another namespace", () => env.Plain.idFromName("a").toString());
		o("the same twice", () => ns.idFromName("a").equals(ns.idFromName("a")));
		o("another", () => ns.idFromName("a").equals(ns.idFromName("b")));
		o("equals of no id", () => ns.idFromName("a").equals("a"));
		o("name", () => ns.idFromName("a").name);
		o("name of a long one", () => ns.idFromName("n".repeat(2000)).name.length);
		const hex = ns.idFromName("a").toString();
		o("idFromString", () => ns.idFromString(hex).equals(ns.idFromName("a")));
		o("its name", () => ns.idFromString(hex).name);
		o("in upper case", () => ns.idFromString(hex.toUpperCase()).toString() === hex);
		o("too short", () => ns.idFromString("abc"));
		o("not hex", () => ns.idFromString("z".repeat(64)));
		o("63 digits", () => ns.idFromString(hex.slice(1)));
		o("of the wrong namespace", () => ns.idFromString(env.Plain.idFromName("a").toString()));
		o("one digit changed", () => ns.idFromString((hex[0] === "0" ? "1" : "0") + hex.slice(1)));
		o("idFromString()", () => ns.idFromString());
		o("newUniqueId", () => /^[0-9a-f]{64}$/.test(ns.newUniqueId().toString()));
		o("two differ", () => ns.newUniqueId().equals(ns.newUniqueId()));
		o("its name", () => ns.newUniqueId().name);
		o("read back", () => {
			const id = ns.newUniqueId();
			return ns.idFromString(id.toString()).equals(id);
		});
		o("get without an id", () => ns.get());
		o("get of a string", () => ns.get("a"));
		o("getByName()", () => ns.getByName());
		o("routingMode", () => ns.get(ns.idFromName("a"), { routingMode: "x" }));
		o("locationHint", () => ns.get(ns.idFromName("a"), { locationHint: "weur" }).name);
		o("the namespace", () => Object.prototype.toString.call(ns));
		o("the id", () => Object.prototype.toString.call(ns.idFromName("a")));
	},

	stubs({ env, say }) {
		const o = (label: string, f: () => unknown) => say(`${label}: ${outcome(f)}`);
		const stub = wrong(env.Room.getByName("a"));
		o("keys", () => Object.keys(stub));
		o("name", () => stub.name);
		o("id", () => stub.id.equals(env.Room.idFromName("a")));
		o("id.name", () => stub.id.name);
		o("then", () => stub.then);
		o("any other property", () => typeof stub.anything);
		o("get by an id without a name", () => env.Room.get(env.Room.idFromString(env.Room.idFromName("a").toString())).name);
		o("two stubs are two objects", () => env.Room.getByName("a") !== env.Room.getByName("a"));
	},

	async "stub-errors"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const stub = wrong(env.Room.getByName(args[0]));
		await o("a relative URL", () => stub.fetch("/relative"));
		await o("no URL", () => stub.fetch());
		await o("a method", () => stub.hello("you"));
		await o("a method that throws", () => stub.fail());
		await o("no such method", () => stub.unheardOf());
		await o("a property of the instance", () => stub.ctx());
		for (const name of ["alarm", "webSocketMessage", "constructor"]) await o(`the reserved ${name}`, () => stub[name]());
		await o("a class without extends", () => wrong(env.Plain.getByName(args[0])).hello());
		await o("a class without fetch", () => wrong(env.NoFetch.getByName(args[0])).fetch("http://x/"));
		await o("setAlarm without alarm()", () => wrong(env.NoFetch.getByName(args[0])).setAlarm());
	},

	/** What callers and stubs see of a reset. */
	async reset({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const stub = wrong(env.Room.getByName(args[0]));
		await o("before", () => stub.hello("you"));
		const waiting = settled(() => stub.slow(5000));
		await o("a call that resets", () => stub.reset("on purpose"));
		say(`a call that was waiting: ${await waiting}`);
		await o("the same stub", () => stub.hello("you"));
		await o("and again", () => stub.hello("you"));
		await o("a new stub", () => wrong(env.Room.getByName(args[0])).hello("you"));
	},

	/** Calls on one stub arrive in their order. */
	async order({ env, args, say }) {
		const stub = wrong(env.Room.getByName(args[0]));
		const calls = Array.from({ length: 20 }, (_, i) => stub.hello(String(i)));
		say((await Promise.all(calls)).join(", "));
	},

	async "unique-object"({ env, say }) {
		const id = env.Room.newUniqueId();
		const res = await env.Room.get(id).fetch("http://x/do/Room/x/remembered");
		say(await res.text());
		const named = await env.Room.get(env.Room.idFromName("n".repeat(1025))).fetch("http://x/do/Room/x/name");
		say(await named.text());
		const byString = env.Room.idFromString(env.Room.idFromName("only by its id").toString());
		say(await (await env.Room.get(byString).fetch("http://x/do/Room/x/name")).text());
		const kept = await env.Room.get(env.Room.idFromName("n".repeat(1024))).fetch("http://x/do/Room/x/name");
		say(await kept.text());
	},
};
