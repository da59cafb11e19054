// What callers see of RPC: stubs, their ends, pipelining, callbacks, order.

import { RpcStub } from "cloudflare:workers";
import { noted, plan } from "../log";
import { sleep, wrong } from "../probe";
import { complaint, settled, show } from "../show";
import { Counter } from "../remote";
import type { Front } from "./front";

/** Waits until the object has written down n lines. */
async function lines(object: string, n: number): Promise<string> {
	for (let i = 0; i < 100 && noted(object, 0).length < n; i++) await sleep(20);
	return noted(object, 0).join(", ");
}

export const rpcStubs: Record<string, (t: Front) => unknown> = {
	async "rpc-targets"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const stub = wrong(env.Remote.getByName(args[0]));
		const f = await stub.make("function");
		await o("a function", () => f(1, 2));
		const counter = await stub.make("counter");
		await o("a method", () => counter.add(5));
		await o("again", () => counter.add());
		await o("a getter", () => counter.value);
		await o("an own property", () => counter.own);
		await o("a missing method", () => counter.missing());
		await o("a method that throws", () => counter.boom());
		await o("the target itself", () => counter());
		await o("a target of a target", () => counter.child.add(1));
		await o("itself returned", () => counter.self().add(1));
		await o("the count is one", () => counter.value);
		const object = await stub.make("object");
		await o("in an object", () => [object.n, typeof object.f, typeof object.counter, Object.keys(object)]);
		await o("its function", () => object.f());
		await o("its target", () => object.counter.add(1));
		await o("in a list", () => object.list[0].add(1));
		await o("the object's dispose", () => typeof object[Symbol.dispose]);
		const a = await stub.make("async function");
		await o("an async function", () => a(4));
		const own = await stub.make("own function");
		await o("a property of a function", () => own.prop);
		await o("a throwing function", async () => (await stub.make("throwing function"))());
		await o("a stub of a function called as a method", () => f.missing());
		const local = new (wrong(RpcStub))(new Counter(args[0], 3));
		await o("a local stub", () => local.add(1));
		await o("its getter", () => local.value);
		await o("its own property", () => local.own);
		const bare = new (wrong(RpcStub))((x: unknown) => x);
		await o("a local function", () => bare({ a: 1 }));
		await o("a local function copies", async () => {
			const x = { a: 1 };
			return (await bare(x)) === x;
		});
		const plain = new (wrong(RpcStub))({ m: () => "m of an object", v: 5 });
		await o("a local stub of an object", () => plain.m());
		await o("its property", () => plain.v);
		await o("a stub of a stub", () => new (wrong(RpcStub))(local));
	},

	/** Who ends what, and when its disposer runs. */
	async "rpc-disposing"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const name = (n: number) => `${args[0]}-${n}`;
		const object = (n: number) => wrong(env.Remote.getByName(name(n)));
		{
			const c = await object(1).make("counter");
			c[Symbol.dispose]();
			say(`disposed: ${await lines(name(1), 1)}`);
			await o("after the end", () => c.add());
			await o("a property after the end", () => c.value);
			await o("the end of the end", () => c[Symbol.dispose]());
			}
		{
			const c = await object(2).make("counter");
			const d = c.dup();
			c[Symbol.dispose]();
			await o("the dup lives", () => d.add());
			say(`not yet disposed: ${await lines(name(2), 0)}`);
			d[Symbol.dispose]();
			say(`then disposed: ${await lines(name(2), 1)}`);
		}
		{
			const result = await object(3).make("object");
			result[Symbol.dispose]();
			say(`the result's disposer ends all: ${await lines(name(3), 2)}`);
			await o("a function of it", () => result.f());
		}
		{
			const c = await object(4).make("counter");
			const d = await c.self();
			d[Symbol.dispose]();
			await o("two stubs of one target", () => c.add());
			c[Symbol.dispose]();
			say(`its disposer ran: ${await lines(name(4), 2)}`);
		}
		{
			const c = new Counter(name(5), 9);
			await o("a target as an argument", () => object(5).callMethod(c, "add", 1));
			say(`is disposed after the call: ${await lines(name(5), 1)}`);
			await o("the target itself goes on", () => c.add());
		}
		{
			const c = new (wrong(RpcStub))(new Counter(name(6), 9));
			await o("a stub as an argument", () => object(6).callMethod(c, "add", 1));
			await sleep(50);
			say(`disposed so far: ${await lines(name(6), 0)}`);
			await o("the stub afterwards", () => c.add());
			await o("its end", () => c[Symbol.dispose]());
			await sleep(50);
			say(`disposed in the end: ${await lines(name(6), 0)}`);
		}
		{
			const called: number[] = [];
			const f = wrong(() => called.push(1));
			await object(7).keep(f);
			await o("kept without dup", () => object(7).useKept());
			await object(8).keepDup(f);
			await o("kept with dup", () => object(8).useKept());
			await o("and again", () => object(8).useKept());
			await o("given up", () => object(8).disposeKept());
		}
		{
			const f = Object.assign(() => "f", { [Symbol.dispose]: () => say("the function's disposer ran") });
			await o("a function with a disposer", () => object(9).callIt(wrong(f)));
			await sleep(50);
		}
		{
			const c = await object(10).make("counter");
			await o("returned as it came", async () => {
				const back = await object(11).giveBack(c);
				return back.add(1);
			});
			await o("and the first", () => c.add(1));
			await o("a dup returned", async () => {
				const back = await object(11).giveBackDup(c);
				return back.add(1);
			});
		}
		{
			const p = object(12).make("counter");
			p[Symbol.dispose]();
			await o("a promise that was disposed", () => p);
			await o("a method of it", () => p.add());
			say(`its target: ${await lines(name(12), 0)}`);
		}
		{
			const x = await object(13).echo({ a: 1 });
			await o("an object without stubs has a disposer", () => typeof x[Symbol.dispose]);
			await o("which can be called", () => x[Symbol.dispose]());
			await o("and leaves it", () => x);
			const list = await object(13).echo([1]);
			await o("an array", () => typeof list[Symbol.dispose]);
			const date = await object(13).echo(new Date(0));
			await o("a Date", () => typeof wrong(date)[Symbol.dispose]);
			const inner = await object(13).echo({ inner: { a: 1 } });
			await o("within", () => typeof inner.inner[Symbol.dispose]);
			await o("its descriptor", () => {
				const d = Object.getOwnPropertyDescriptor(x, Symbol.dispose);
				return `${typeof d?.value} ${d?.enumerable} ${d?.writable} ${d?.configurable}`;
			});
		}
		{
			{
				using c = await object(14).make("counter");
				await o("using", () => c.add());
			}
			say(`after using: ${await lines(name(14), 1)}`);
		}
	},

	async "rpc-pipelining"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const name = args[0];
		const stub = wrong(env.Remote.getByName(name));
		await o("a method of a result", () => stub.make("counter").add(4));
		await o("a getter of a result", () => stub.make("counter").value);
		await o("a function's result", () => stub.make("function")(1, 2));
		await o("a property", () => stub.make("object").n);
		await o("a method of a property", () => stub.make("object").counter.add(1));
		await o("an element", () => stub.make("object").list[0].add(1));
		await o("deep", () => stub.make("counter").child.self().child.add(1));
		await o("of plain data", () => stub.echo({ a: { b: [10, 20] } }).a.b[1]);
		await o("a missing property", () => stub.echo({ a: 1 }).b);
		await o("a property of a missing one", () => stub.echo({ a: 1 }).b.c);
		await o("a method of data", () => stub.echo({ a: 1 }).a());
		await o("a method of a number", () => stub.echo(5).toFixed());
		await o("a property of null", () => stub.echo(null).x);
		await o("a property of undefined", () => stub.nothing().x);
		await o("a method of text", () => stub.echo("text").length);
		await o("of a call that throws", () => stub.throwIt("TypeError").a.b());
		await o("of a getter", () => stub.anObject.counter.add(1));
		await o("several at once", async () => {
			const c = stub.make("counter");
			return Promise.all([c.add(1), c.add(1), c.value, c.add(1)]);
		});
		await o("in order with slow ones", async () => {
			const p = stub.make("counter");
			const results = [stub.mark("one"), p.add(1), stub.mark("two")];
			await Promise.all(results);
			return (await lines(name, 2)).split(", ").filter((l) => !l.startsWith("disposed")).join(", ");
		});
		await o("after it has resolved", async () => {
			const p = stub.make("counter");
			await p;
			return p.add(9);
		});
		await o("then twice", async () => {
			const p = stub.echo({ a: 1 });
			return (await p) === (await p);
		});
		await o("a callback's result", () => stub.callIt(() => new Counter(name, 50)).add(1));
		await o("as an argument", async () => {
			const p = stub.make("counter");
			return stub.callMethod(p, "add", 1);
		});
		await o("a property as an argument", () => stub.callIt(stub.aFunction, 4));
		await o("a property's stub", async () => {
			using f = await stub.anObject.f;
			return f(2);
		});
		await o("finally", async () => {
			let ran = false;
			const v = await stub.echo(1).finally(() => (ran = true));
			return [v, ran];
		});
		await o("catch", () => stub.throwIt("Error").catch((e: unknown) => `caught ${complaint(e)}`));
		await o("then on a property", () => stub.aGetter.then((x: string) => `${x} by then`));
	},

	async "rpc-callbacks"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const name = args[0];
		const stub = wrong(env.Remote.getByName(name));
		await o("a callback", () => stub.callIt((a: number, b: number) => a - b, 5, 3));
		await o("an async callback", () => stub.callIt(async (x: string) => `${x}!`, "hey"));
		await o("many", () => stub.callMany(async (n: number) => n * n, 5));
		await o("within a callback", () => stub.callIt((f: any) => f(1), (x: number) => x + 1));
		await o("a callback that returns a function", async () => {
			const g = await stub.callIt(() => (x: number) => x * 3);
			return g(5);
		});
		await o("a callback that gets a target", () => stub.make("counter").call(async (n: number) => [n, await stub.nameOf()]));
		await o("a method of a target", () => stub.callMethod(new Counter(name, 1), "add", 41));
		await o("a getter of a target", () => stub.callMethod(new Counter(name, 1), "value"));
		await o("an object with a function", () => stub.callMethod({ f: (x: number) => x + 1 }, "f", 1));
		await o("what a stub is to the callee", () => stub.describeStub(() => 1));
		await o("what an object's stub is to the callee", () => stub.describeStub(env.Remote.getByName(`${name}-2`)));
		await o("an object's stub is called", () => stub.callMethod(env.Remote.getByName(`${name}-2`), "nameOf"));
		await o("an object's stub is fetched", async () => (await stub.callMethod(env.Remote.getByName(`${name}-2`), "fetch", "http://x/y")).text());
		await o("an object's stub is returned", async () => {
			const other = await stub.make("stub");
			return `${await other.nameOf()} ${typeof other.id} ${Object.prototype.toString.call(other)} ${await (await other.fetch("http://x/z")).text()}`;
		});
		await o("its own stub", () => stub.callMethod(stub, "nameOf"));
		await o("through a second object", () => stub.relay(`${name}-2`, "callIt", (x: number) => x * 7, 6));
		await o("back and forth", () => stub.callLoop(`${name}-2`, 5));
		await o("the argument is a promise's function", () => stub.callIt(async () => {
			await sleep(5);
			return "slept";
		}));
		await o("a second call meanwhile", async () => {
			const slow = stub.callIt(async () => {
				await sleep(100);
				return "slow";
			});
			const quick = await stub.echo("quick");
			return [quick, await slow];
		});
		await o("a callback inside a critical section", () => stub.blocked(() => "from outside"));
		await o("a callback that calls the blocked object", async () => {
			const answer = stub.blocked(async () => {
				const late = stub.mark("late");
				await sleep(20);
				wrong(late).catch(() => {});
				return "left";
			});
			return answer;
		});
		const order = (await lines(name, 5)).split(", ").filter((l) => !l.startsWith("disposed"));
		say(`its order: ${order.join(", ")}`);
	},

	async "rpc-order"({ env, args, say }) {
		const name = args[0];
		const stub = wrong(env.Remote.getByName(name));
		const all: Promise<unknown>[] = [];
		for (let i = 0; i < 5; i++) {
			all.push(stub.mark(`call ${i}`));
			all.push(stub.fetch(`http://x/${i}`));
			all.push(stub.echo("x".repeat(i * 100_000)));
		}
		await Promise.all(all);
		const order = (await lines(name, 10)).split(", ");
		say(`calls: ${order.filter((l) => l.startsWith("call")).join(", ")}`);
		say(`fetches: ${order.filter((l) => l.startsWith("fetch")).join(", ")}`);
		say(`both: ${order.join(", ")}`);
		const counts = await Promise.all(Array.from({ length: 20 }, () => stub.increment()));
		say(`increments: ${counts.join(" ")}`);
		const slow = stub.slow(100, "first");
		const quick = stub.slow(1, "second");
		await Promise.all([slow, quick]);
		say((await lines(name, 14)).split(", ").slice(10).join(", "));
	},

	/** What is left of stubs when their object has been reset. */
	async "rpc-broken"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const name = args[0];
		const stub = wrong(env.Remote.getByName(name));
		const counter = await stub.make("counter");
		const dup = counter.dup();
		let told: string | undefined;
		await o("onRpcBroken", () => counter.onRpcBroken?.((e: unknown) => (told = complaint(e))));
		const pending = settled(() => stub.never());
		const piped = settled(() => stub.never().x.y());
		await o("a call that resets", () => stub.abort("reset on purpose"));
		say(`a pending call: ${await pending}`);
		say(`a pipelined call: ${await piped}`);
		await o("a stub from before", () => counter.add());
		await o("its dup", () => dup.add());
		await o("the object's stub", () => stub.nameOf());
		await o("fetch on it", () => stub.fetch("http://x/"));
		await sleep(20);
		say(`told: ${told}`);
		const again = wrong(env.Remote.getByName(name));
		await o("a new stub", () => again.nameOf());
		await o("a failed section", () => again.failBlocked());
		await o("afterwards", () => wrong(env.Remote.getByName(name)).nameOf());
		await o("a callback during which the object is reset", () => {
			const s = wrong(env.Remote.getByName(name));
			return s.callIt(async () => {
				await settled(() => wrong(env.Remote.getByName(name)).abort("within a callback"));
				return "not seen";
			});
		});
	},

	async "rpc-streams"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const name = args[0];
		const stub = wrong(env.Remote.getByName(name));
		const text = async (s: ReadableStream) => new Response(s).text();
		await o("returned", async () => text(await stub.stream("a", "b", "c")));
		await o("what it is", async () => {
			const s = await stub.stream("a");
			const chunk = await s.getReader().read();
			return `${Object.prototype.toString.call(s)} ${show(chunk.value)}`;
		});
		await o("an empty one", async () => text(await stub.stream()));
		await o("of texts", async () => text(await stub.valueStream("a", "b")));
		await o("of objects", async () => (await stub.valueStream({ a: 1 })).getReader().read());
		await o("of byte arrays", async () => text(await stub.valueStream(new Uint8Array([65, 66]))));
		await o("one that breaks", async () => text(await stub.brokenStream()));
		await o("a large one", () => stub.large(3_000_000).then(async (s: ReadableStream) => {
			let n = 0;
			for await (const chunk of s) n += wrong(chunk).byteLength;
			return n;
		}));
		await o("cancelled", async () => {
			const s = await stub.endless();
			const reader = s.getReader();
			await reader.read();
			await reader.cancel(new TypeError("no more"));
			return lines(name, 1);
		});
		await o("as an argument", () => stub.readAll(new Blob(["from ", "the caller"]).stream()));
		await o("of a JavaScript source", () => stub.readAll(new ReadableStream({
			start(c) {
				c.enqueue(new TextEncoder().encode("java"));
				c.enqueue(new TextEncoder().encode("script"));
				c.close();
			},
		})));
		await o("a large argument", () => {
			let left = 3_000_000;
			return stub.countBytes(new ReadableStream({
				type: "bytes",
				pull(c) {
					const n = Math.min(left, 70_000);
					if (n === 0) c.close();
					else c.enqueue(new Uint8Array(n));
					left -= n;
				},
			}));
		});
		await o("an argument that breaks", () => stub.readAll(new ReadableStream({
			pull(c) {
				c.error(new RangeError("the caller's source broke"));
			},
		})));
		await o("an argument that was used", async () => {
			const s = new Blob(["x"]).stream();
			await text(s);
			return stub.readAll(s);
		});
		await o("passed on and back", async () => text(await stub.relay(`${name}-2`, "echo", new Blob(["far"]).stream())));
		await o("is locked afterwards", async () => {
			const s = new Blob(["x"]).stream();
			const p = stub.readAll(s);
			const locked = s.locked;
			await p;
			return locked;
		});
		await o("writable", async () => {
			const { readable, writable } = new IdentityTransformStream();
			const read = text(readable);
			const closed = await stub.writeTo(writable, "one ", "two");
			return [await read, closed];
		});
		await o("writable of JavaScript", async () => {
			const got: unknown[] = [];
			const closed = await stub.writeTo(new WritableStream({
				write(chunk) {
					got.push(chunk);
				},
				close() {
					got.push("closed");
				},
			}), "one");
			return [got, closed];
		});
		await o("writable that fails", () => stub.writeTo(new WritableStream({
			write() {
				throw new RangeError("the sink threw");
			},
		}), "one", "two", "three"));
		await o("writable that is aborted", async () => {
			const got: unknown[] = [];
			const answer = await stub.abortWriter(new WritableStream({
				write(chunk) {
					got.push(chunk);
				},
				abort(reason) {
					say(`the sink is aborted: ${complaint(reason)}`);
				},
			}));
			await sleep(50);
			return [answer, ...got];
		});
	},

	async "rpc-http"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const stub = wrong(env.Remote.getByName(args[0]));
		await o("a Response", async () => {
			const r: Response = await stub.respond("the body", 201);
			return `${r.status} ${r.statusText} ${show([...r.headers])} ${show(await r.text())} ${r instanceof Response}`;
		});
		await o("with a stream", async () => {
			const r: Response = await stub.respondStream();
			return `${r.headers.get("x-stream")} ${await r.text()}`;
		});
		await o("pipelined", () => stub.respond("the body").status);
		await o("a status without a body", async () => (await stub.respond("").text()) as string);
		await o("with a socket", async () => {
			const r: Response = await stub.respondSocket();
			const ws = r.webSocket!;
			ws.accept();
			return new Promise((resolve) => ws.addEventListener("message", (e) => resolve(e.data)));
		});
		await o("Headers", async () => {
			const h: Headers = await stub.headers();
			return [[...h], h.getSetCookie(), h instanceof Headers];
		});
		await o("Headers can be changed", async () => {
			const h: Headers = await stub.headers();
			h.set("x-b", "2");
			return h.get("x-b");
		});
		await o("a Request", async () => {
			const r: Request = await stub.makeRequest();
			return `${r.method} ${r.url} ${show([...r.headers])} ${await r.text()}`;
		});
		await o("a Request as an argument", () => stub.describeRequest(new Request("http://example.com/", { method: "PUT", body: "sent", headers: { a: "1" }, redirect: "manual" })));
		await o("a GET as an argument", () => stub.describeRequest(new Request("http://example.com/x")));
		await o("a used body", async () => {
			const r = new Response("x");
			await r.text();
			return stub.echo(r);
		});
		await o("a body that was given away", async () => {
			const r = new Response("x");
			const p = stub.echo(r);
			const used = r.bodyUsed;
			await p;
			return used;
		});
		await o("within an object", async () => {
			const { r, h } = await stub.echo({ r: new Response("within"), h: new Headers({ x: "y" }) });
			return [await r.text(), h.get("x")];
		});
	},

	/** What a caller sees of constructors that fail. */
	async "rpc-constructor"({ env, args, say }) {
		const o = async (label: string, f: () => unknown) => say(`${label}: ${await settled(f)}`);
		const stub = wrong(env.Room.getByName(args[0]));
		plan(args[0], "constructor-throws");
		await o("a constructor that throws", () => stub.hello("you"));
		await o("the same stub", () => stub.hello("you"));
		await o("pipelined", () => wrong(env.Room.getByName(args[0])).hello("you").length);
		plan(args[0], "constructor-block-fails");
		await o("a section that fails in it", () => wrong(env.Room.getByName(args[0])).hello("you"));
		plan(args[0], "");
		await o("a new stub afterwards", () => wrong(env.Room.getByName(args[0])).hello("you"));
		await o("the old stub afterwards", () => stub.hello("you"));
	},

	async "rpc-remember"({ env, args, say }) {
		say(await settled(() => wrong(env.Remote.getByName(args[0])).remember(args[1])));
	},

	async "rpc-remembered"({ env, args, say }) {
		say(await settled(() => wrong(env.Remote.getByName(args[0])).remembered()));
	},

	/** One object holds a stub of another one's target. */
	async "rpc-hold"({ env, args, say }) {
		say(await settled(() => wrong(env.Remote.getByName(args[0])).hold(args[1])));
	},

	async "rpc-use"({ env, args, say }) {
		say(await settled(() => wrong(env.Remote.getByName(args[0])).useHeld()));
	},

	async "rpc-let-go"({ env, args, say }) {
		say(await settled(() => wrong(env.Remote.getByName(args[0])).letGo()));
	},

	/** A call that does not end while this waits for it. */
	async "rpc-wait"({ env, args, say }) {
		wrong(env.Remote.getByName(args[0])).never().catch(() => {});
		say("asked");
	},
};
