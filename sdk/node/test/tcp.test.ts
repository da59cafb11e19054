import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import tls from "node:tls";
import { Host, type Options } from "./support/host.ts";
import { certificate, key } from "./support/localhost.ts";

/** A server that lives as long as the test; where it is, and its connections. */
async function server(t: TestContext, serve: (s: net.Socket) => void, make = (f: (s: net.Socket) => void) => net.createServer({ allowHalfOpen: true }, f)): Promise<{ port: number; seen: net.Socket[] }> {
  const seen: net.Socket[] = [];
  const s = make((c) => {
    seen.push(c);
    c.on("error", () => {});
    serve(c);
  }).listen(0, "127.0.0.1");
  await once(s, "listening");
  t.after(() => {
    s.close();
    for (const c of seen) c.destroy();
  });
  return { port: (s.address() as AddressInfo).port, seen };
}

const refused = "Error: proxy request failed, cannot connect to the specified address: connect ECONNREFUSED 127.0.0.1:1";
const echo = (c: net.Socket) => void c.pipe(c);

/** An object whose `fetch` is this code; `to` opens a connection. */
function room(code: string, port: number, options: Partial<Options> = {}): Promise<Host> {
  return Host.start({
    source: `
      import { connect } from "cloudflare:sockets";
      const text = (bytes) => new TextDecoder().decode(bytes);
      const failure = (p) => p.then(() => "none", (e) => e.name + ": " + e.message.replace(/\\d{4,}/, "PORT"));
      const to = (options) => connect({ hostname: "127.0.0.1", port: ${port} }, options);
      export class Room {
        constructor(ctx) { this.ctx = ctx; }
        async fetch() { ${code} }
      }
      export default {};`,
    classes: ["Room"],
    ...options,
  });
}

async function answer(host: Host): Promise<unknown> {
  host.write((f) => f.start({ object: 1 }).request({ exchange: 2, object: 1 }));
  await host.next((s) => s.type === "bodyEnd" || s.type === "failure");
  assert.deepEqual(host.of("failure"), []);
  return JSON.parse(Buffer.concat(host.of("body").map((b) => b.data)).toString());
}

test("bytes and texts go out and come back, and both sides close", async (t) => {
  const { port, seen } = await server(t, echo);
  await using host = await room(`
    const s = to();
    const { remoteAddress } = await s.opened;
    const writer = s.writable.getWriter();
    await writer.write("te");
    await writer.write(new TextEncoder().encode("xt").buffer);
    const byob = s.readable.getReader({ mode: "byob" });
    const first = await byob.read(new Uint8Array(1));
    byob.releaseLock();
    await writer.close();
    let rest = "";
    for await (const piece of s.readable) rest += text(piece);
    await s.closed;
    const other = to();
    const busy = failure(other.readable.getReader().read());
    await other.opened;
    await other.close();
    return Response.json([remoteAddress === "127.0.0.1:${port}", text(first.value) + rest, s.secureTransport, s.upgraded, await busy]);`, port);
  assert.deepEqual(await answer(host), [true, "text", "off", false, "TypeError: This socket has been closed."]);
  assert.equal(seen.length, 2);
});

test("what is written waits for the commits before it", async (t) => {
  let heard = "";
  const { port, seen } = await server(t, (c) => c.on("data", (d) => (heard += d.toString())));
  await using host = await room(`
    if (this.s === undefined) {
      this.s = to();
      this.writer = this.s.writable.getWriter();
      await this.writer.write("before ");
      return Response.json("said");
    }
    this.ctx.storage.put("k", 1);
    await this.writer.write("after");
    await this.s.close();
    return Response.json("closed");`, port);
  assert.equal(await answer(host), "said");
  if (heard === "") await once(seen[0]!, "data");
  host.clear();
  host.durable = false;
  host.write((f) => f.request({ exchange: 4, object: 1 }));
  const { object, commit } = await host.await("awaitDurable");
  assert.equal(heard, "before ");
  host.durable = true;
  host.write((f) => f.durable(object, commit));
  await host.await("bodyEnd");
  if (!seen[0]!.readableEnded) await once(seen[0]!, "end");
  assert.equal(heard, "before after");
});

test("a connection keeps its object, and does not outlive it", async (t) => {
  const { port, seen } = await server(t, echo);
  await using host = await room(`
    globalThis.open = to();
    await open.opened;
    return Response.json("opened");`, port);
  assert.equal(await answer(host), "opened");
  const kept = await host.next((s) => s.type === "progress" && s.object === 1 && s.finished === 1);
  assert.ok(kept.type === "progress" && kept.tasks > 0, "a task");
  const gone = once(seen[0]!, "close");
  host.write((f) => f.hibernate(1, 1, 1));
  await gone;
});

test("a connection of the Worker's own code ends with its call", async (t) => {
  const { port, seen } = await server(t, echo);
  await using host = await Host.start({
    source: `
      import { connect } from "cloudflare:sockets";
      export default { async fetch() { await connect("127.0.0.1:${port}").opened; return new Response("opened"); } };`,
  });
  host.write((f) => f.request({ exchange: 2 }));
  await host.await("bodyEnd");
  if (!seen[0]!.readableEnded) await once(seen[0]!.resume(), "end");
});

test("what fails says so on every side", async (t) => {
  const { port } = await server(t, (c) => void c.once("data", () => c.resetAndDestroy()));
  const half = await server(t, (c) => void c.resume().end("bye"));
  await using host = await room(`
    const reset = to();
    await reset.writable.getWriter().write("x");
    const said = [await failure(reset.readable.getReader().read()), await failure(reset.closed)];
    const none = connect("127.0.0.1:1");
    said.push(await failure(none.opened), await failure(none.closed), await failure(none.writable.getWriter().write("x")));
    const ended = connect({ hostname: "127.0.0.1", port: ${half.port} });
    const reader = ended.readable.getReader();
    said.push(text((await reader.read()).value), (await reader.read()).done, await failure(ended.writable.getWriter().write("x")));
    const open = connect({ hostname: "127.0.0.1", port: ${half.port} }, { allowHalfOpen: true });
    await new Response(open.readable).text();
    const writer = open.writable.getWriter();
    said.push(await failure(writer.write("x")), await failure(writer.close()), await failure(open.closed));
    for (const wrong of [() => connect("nowhere"), () => connect("a:99999"), () => connect({ hostname: "a", port: NaN }), () => connect("a:1", { secureTransport: "perhaps" }), () => to().startTls()]) {
      try { wrong(); } catch (e) { said.push(e.name + ": " + e.message); }
    }
    return Response.json(said);`, port);
  assert.deepEqual(await answer(host), [
    "Error: Network connection lost.", "none",
    refused, refused, refused,
    "bye", true, "TypeError: This WritableStream has been closed.",
    "none", "none", "none",
    "TypeError: Specified address is missing port.", "TypeError: Specified address could not be parsed.",
    "TypeError: The value cannot be converted because it is not an integer.", "TypeError: Unsupported value in secureTransport socket option: perhaps",
    "TypeError: The `secureTransport` socket option must be set to 'starttls' for startTls to be used.",
  ]);
});

test("TLS from the beginning, and on a connection that is there", async (t) => {
  const secure = await server(t, echo, (f) => tls.createServer({ key, cert: certificate }, f));
  // As a server of a database does: one byte in the clear, then TLS.
  const later = await server(t, (c) => {
    c.once("data", () => {
      c.write("S");
      const s = new tls.TLSSocket(c, { isServer: true, secureContext: tls.createSecureContext({ key, cert: certificate }) });
      s.on("error", () => {});
      echo(s);
    });
  });
  const trust = `import tls from "node:tls"; tls.setDefaultCACertificates([${JSON.stringify(certificate)}]);`;
  const code = `
    const ask = async (s, what) => {
      const writer = s.writable.getWriter(), reader = s.readable.getReader();
      await writer.write(what);
      const { value } = await reader.read();
      writer.releaseLock();
      reader.releaseLock();
      return text(value);
    };
    const said = [await ask(connect("localhost:${secure.port}", { secureTransport: "on" }), "secure")];
    const plain = connect("localhost:${later.port}", { secureTransport: "starttls" });
    said.push(await ask(plain, "please"));
    const upgraded = plain.startTls();
    said.push(await ask(upgraded, "upgraded"), upgraded.secureTransport, await failure(plain.closed));
    try { plain.startTls(); } catch (e) { said.push(e.message); }
    const none = connect("127.0.0.1:1", { secureTransport: "starttls" });
    const above = none.startTls();
    said.push(await failure(above.opened), await failure(above.writable.getWriter().write("x")));
    const other = connect("localhost:${later.port}", { secureTransport: "starttls" });
    await ask(other, "please");
    said.push((await failure(other.startTls({ expectedServerHostname: "example.com" }).opened)).slice(0, 90));
    return Response.json(said);`;
  await using host = await room(code, 0, { nodeFlags: ["--import", `data:text/javascript,${encodeURIComponent(trust)}`] });
  assert.deepEqual(await answer(host), [
    "secure", "S", "upgraded", "on", "none",
    "startTls has already been called on this socket, or the socket was transferred over RPC.",
    refused, refused,
    "Error: proxy request failed, cannot connect to the specified address: Hostname/IP does not",
  ]);
});

test("egress.deny holds for connections too", async (t) => {
  const { port, seen } = await server(t, echo);
  await using host = await room("return Response.json(await failure(to().opened));", port, { config: { egress: { allow: [], deny: ["127.0.0.0/8"] } } });
  assert.match(String(await answer(host)), /connecting to 127\.0\.0\.1 is not allowed here \(egress\.deny\)/);
  assert.equal(seen.length, 0);
});
