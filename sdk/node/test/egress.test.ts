import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import net from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { judge } from "../src/egress.ts";

const rules = { allow: ["10.1.0.0/16"], deny: ["10.0.0.0/8", "127.0.0.0/8", "::1/128", "fc00::/7"] };

test("deny is what may not be reached, but for what allow says", () => {
  const may = judge(net, rules);
  for (const [address, want] of Object.entries({
    "10.2.0.1": false, "10.1.2.3": true, "192.0.2.1": true, "127.0.0.1": false, "::1": false, "fd00::1": false, "fd00::1%eth0": false, "2001:db8::1": true,
    "::ffff:10.2.0.1": false, "::ffff:7f00:1": false, "::ffff:10.1.2.3": true,
  })) {
    assert.equal(may(address), want, address);
  }
});

/** In a process of its own: the rules are for good. */
test("what connects is refused: by name, by address, by path, and after a redirect", async () => {
  const script = `
    import http from "node:http";
    import net from "node:net";
    import dns from "node:dns";
    const { guardEgress } = await import(${JSON.stringify(new URL("../src/egress.ts", import.meta.url).href)});
    const servers = await Promise.all(["127.0.0.1", "127.0.0.2"].map((host) => new Promise((resolve) => {
      const s = http.createServer((q, r) => q.url === "/there" ? r.writeHead(302, { location: "http://127.0.0.1:" + ports[0] + "/" }).end() : r.end("ok"));
      s.listen(0, host, () => resolve(s));
    })));
    const ports = servers.map((s) => s.address().port);
    guardEgress({ allow: ["127.0.0.2/32"], deny: ["127.0.0.0/8", "::1/128", "::ffff:127.0.0.0/104"] });
    const said = {};
    const tell = async (what, f) => { said[what] = await f().then((v) => v, (e) => "refused: " + /egress/.test(String(e.cause?.message ?? e.message))); };
    const text = async (url) => (await fetch(url)).text();
    const dial = (...args) => () => new Promise((resolve, reject) => {
      const s = net.connect(...args, () => { resolve("connected"); s.destroy(); });
      s.on("error", reject);
    });
    await tell("allowed", () => text("http://127.0.0.2:" + ports[1]));
    await tell("address", () => text("http://127.0.0.1:" + ports[0]));
    await tell("other spelling", () => text("http://2130706433:" + ports[0]));
    await tell("mapped", () => text("http://[::ffff:127.0.0.1]:" + ports[0]));
    await tell("name", () => text("http://localhost:" + ports[0]));
    await tell("redirect", () => text("http://127.0.0.2:" + ports[1] + "/there"));
    await tell("http", () => new Promise((resolve, reject) => http.get("http://127.0.0.1:" + ports[0], () => resolve("ok")).on("error", reject)));
    await tell("net", dial(ports[0], "127.0.0.1"));
    await tell("net, local", dial(ports[0]));
    await tell("net, options", dial({ port: ports[0], host: "127.0.0.1" }));
    await tell("net, allowed", dial(ports[1], "127.0.0.2"));
    await tell("net, own lookup", dial({ port: ports[0], host: "anything", lookup: (h, o, done) => o.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4) }));
    await tell("net, path", dial({ path: "/run/some.sock" }));
    console.log(JSON.stringify(said));
    process.exit(0);
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  const no = "refused: true";
  assert.deepEqual(JSON.parse(stdout), {
    allowed: "ok", address: no, "other spelling": no, mapped: no, name: no, redirect: no, http: no,
    net: no, "net, local": no, "net, options": no, "net, allowed": "connected", "net, own lookup": no, "net, path": no,
  });
});
