// Serves a bundled Worker with miniflare: node serve.mjs worker.js '{"name", …}'.
// The second argument are its options. It prints its address and ends with its
// standard input.

import fs from "node:fs";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

const [file, options] = process.argv.slice(2);
const mf = new Miniflare(convertV4MiniflareOptions({
	...JSON.parse(options),
	modules: [{ type: "ESModule", path: "worker.js", contents: fs.readFileSync(file, "utf8") }],
	host: "127.0.0.1",
	port: 0,
}));
console.log(`listens at ${(await mf.ready).host}`);
process.stdin.resume().on("end", () => mf.dispose().then(() => process.exit()));
