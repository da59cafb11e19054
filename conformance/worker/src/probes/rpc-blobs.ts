// Blobs over RPC.

import { wrong } from "../probe";
import { labelled } from "../show";
import type { Front } from "./front";

export const rpcBlobs: Record<string, (t: Front) => unknown> = {
	async "rpc-blobs"(t) {
		const { env, args } = t;
		const o = labelled(t);
		const stub = wrong(env.Remote.getByName(args[0]));
		const there = async (x: unknown) => {
			const b = await stub.echo(x);
			return [b instanceof Blob, b instanceof File, b.type, b.size, await b.text()];
		};
		await o("text", () => there(new Blob(["héllo"], { type: "Text/X" })));
		await o("nothing", () => there(new Blob()));
		await o("several parts", () => there(new Blob(["a", new Uint8Array([98]), new Blob(["c"])])));
		await o("a slice", () => there(new Blob(["abcdef"], { type: "t/x" }).slice(1, 3, "s/y")));
		await o("a megabyte", async () => (await stub.echo(new Blob([new Uint8Array(1 << 20)]))).size);
		await o("more than 32 MiB", () => stub.echo(new Blob([new Uint8Array(33 << 20)])).catch((e: Error) => e.message.slice(0, 70)));
		await o("in an object, twice", async () => {
			const blob = new Blob(["x"]);
			const back = await stub.echo({ a: blob, b: [blob] });
			return [back.a === back.b[0], await back.b[0].text()];
		});
		await o("a File", () => stub.echo(new File(["x"], "n")));
		await o("of an answer", async () => there(await new Response("x", { headers: { "content-type": "a/b" } }).blob()));
		await o("the first is still whole", async () => {
			const blob = new Blob(["kept"]);
			await stub.echo(blob);
			return blob.text();
		});
		await o("FormData", () => stub.echo(new FormData()));
	},
};
