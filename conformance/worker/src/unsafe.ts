// The conformance Worker with the probes of workerd:unsafe. A wrangler file of
// its own names it, with the flag that the module needs.

import unsafe from "workerd:unsafe";
import worker from "./index";
import { Env, wrong } from "./probe";
import { front } from "./probes/front";
import { settled } from "./show";

export { Mute, NoFetch, Plain } from "./others";
export { Room } from "./room";

const hooks = wrong(unsafe);

/** What an object says of itself: whether it remembers, what it has stored, how many sockets it has. */
async function state(env: Env, name: string): Promise<string> {
	const res = await env.Room.getByName(name).fetch(`http://x/do/Room/${name}/remembers`);
	return res.text();
}

front["unsafe-module"] = async ({ env, args, say }) => {
	const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
	say(`the module: ${Object.prototype.toString.call(unsafe)}`);
	for (const name of ["evict", "evictAllDurableObjects", "abortAllDurableObjects", "deleteAllDurableObjects"]) {
		say(`${name}: ${typeof hooks[name]}, ${hooks[name].length} parameters`);
	}
	const stub = env.Room.getByName(args[0]);
	await o("evict()", () => hooks.evict());
	await o("of a string", () => hooks.evict("x"));
	await o("of a namespace", () => hooks.evict(env.Room));
	await o("of an id", () => hooks.evict(stub.id));
	await o("of an object that is not in memory", () => hooks.evict(stub));
	await o("with a string", () => hooks.evict(stub, "close"));
	await o("with another word", () => hooks.evict(stub, { webSockets: "explode" }));
	await o("of all, with another word", () => hooks.evictAllDurableObjects({ webSockets: "explode" }));
	await o("isTestAutogateEnabled", () => hooks.isTestAutogateEnabled());
};

front.evict = async ({ env, args: [name, webSockets], say }) => {
	const stub = env.Room.getByName(name);
	say(`evict: ${await settled(() => hooks.evict(stub, { webSockets }))}`);
};

front["evict-all"] = async ({ args: [webSockets], say }) => {
	say(`evict all: ${await settled(() => hooks.evictAllDurableObjects({ webSockets }))}`);
};

/** Evicts an object while a request is in progress. */
front["evict-busy"] = async ({ env, args: [name], say }) => {
	const stub = env.Room.getByName(name);
	await state(env, name);
	const slow = stub.fetch(`http://x/do/Room/${name}/waits?arg=300`);
	await hooks.evict(stub);
	say(`evicted; the request: ${(await slow).status}`);
	say(await state(env, name));
};

for (const verb of ["abort", "delete"] as const) {
	front[`${verb}-all`] = async ({ env, args: [name], say }) => {
		const stub = env.Room.getByName(name);
		const ask = () => stub.fetch(`http://x/do/Room/${name}/remembers`).then((res) => res.text());
		await ask();
		const waiting = settled(() => stub.fetch(`http://x/do/Room/${name}/waits?arg=5000`).then((res) => res.text()));
		await scheduler.wait(50);
		say(`${verb} all: ${await settled(() => hooks[`${verb}AllDurableObjects`]())}`);
		say(`a request that was waiting: ${await waiting}`);
		say(`the same stub: ${await settled(ask)}`);
		say(`a new stub: ${await state(env, name)}`);
	};
}

export default worker;
