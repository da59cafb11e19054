/*
 * Questions about the surface that authors see, asked inside an object. Each
 * answer is a value or an error; workerd's answers are recorded beside this
 * file, and the guest's must be the same, or the difference stands here with
 * its reason.
 */

const pairOf = () => new WebSocketPair();

/** name → f({ctx, env, request}); `differs` says why our answer is another. */
export const probes = {
  // ---- acceptWebSocket
  "acceptWebSocket()": ({ ctx }) => ctx.acceptWebSocket(),
  "acceptWebSocket(1)": ({ ctx }) => ctx.acceptWebSocket(1),
  "acceptWebSocket({})": ({ ctx }) => ctx.acceptWebSocket({}),
  "acceptWebSocket(ws, string)": ({ ctx }) => ctx.acceptWebSocket(pairOf()[0], "tag"),
  "acceptWebSocket(ws, null)": ({ ctx }) => ctx.acceptWebSocket(pairOf()[0], null),
  "acceptWebSocket(ws, Set)": ({ ctx }) => ctx.acceptWebSocket(pairOf()[0], new Set(["a"])),
  "acceptWebSocket(ws, undefined)": ({ ctx }) => ctx.acceptWebSocket(pairOf()[0], undefined),
  "acceptWebSocket 10 tags": ({ ctx }) => {
    const ws = pairOf()[0];
    ctx.acceptWebSocket(ws, [..."abcdefghij"]);
    return ctx.getTags(ws);
  },
  "acceptWebSocket 11 tags": ({ ctx }) => ctx.acceptWebSocket(pairOf()[0], [..."abcdefghijk"]),
  "acceptWebSocket 10 tags and a duplicate": ({ ctx }) => ctx.acceptWebSocket(pairOf()[0], [..."abcdefghija"]),
  "acceptWebSocket 9 tags and 5 duplicates": ({ ctx }) => {
    const ws = pairOf()[0];
    ctx.acceptWebSocket(ws, [..."abcdefghiabcde"]);
    return ctx.getTags(ws);
  },
  "acceptWebSocket tags coerced": ({ ctx }) => {
    const ws = pairOf()[0];
    ctx.acceptWebSocket(ws, [1, null, undefined, "", true]);
    return ctx.getTags(ws);
  },
  "acceptWebSocket tag too long": ({ ctx }) => ctx.acceptWebSocket(pairOf()[0], ["é".repeat(129)]),
  "acceptWebSocket tag of 256 bytes": ({ ctx }) => ctx.acceptWebSocket(pairOf()[0], ["é".repeat(128)]),
  "acceptWebSocket twice": ({ ctx }) => {
    const [a] = pairOf();
    ctx.acceptWebSocket(a);
    ctx.acceptWebSocket(a);
  },
  "acceptWebSocket after accept": ({ ctx }) => {
    const [a] = pairOf();
    a.accept();
    ctx.acceptWebSocket(a);
  },
  "acceptWebSocket when the peer was accepted": ({ ctx }) => {
    const [a, b] = pairOf();
    b.accept();
    ctx.acceptWebSocket(a);
  },
  "acceptWebSocket when the peer is hibernatable": ({ ctx }) => {
    const [a, b] = pairOf();
    ctx.acceptWebSocket(b);
    ctx.acceptWebSocket(a);
  },
  "accept after acceptWebSocket": ({ ctx }) => {
    const [a] = pairOf();
    ctx.acceptWebSocket(a);
    a.accept();
  },
  "accept twice": () => {
    const [a] = pairOf();
    a.accept();
    return a.accept();
  },
  // ---- getWebSockets and tags
  "getWebSockets orders": ({ ctx }) => {
    const made = ["x1", "x2", "x3"].map((t) => {
      const ws = pairOf()[0];
      ctx.acceptWebSocket(ws, [t, "order"]);
      return ws;
    });
    const all = ctx.getWebSockets().filter((w) => made.includes(w)).map((w) => ctx.getTags(w)[0]);
    return [all, ctx.getWebSockets("order").map((w) => ctx.getTags(w)[0]), ctx.getWebSockets("x2")[0] === made[1]];
  },
  "getWebSockets(unknown)": ({ ctx }) => ctx.getWebSockets("nobody"),
  "getWebSockets(null)": ({ ctx }) => ctx.getWebSockets(null).length,
  "getTags never accepted": ({ ctx }) => ctx.getTags(pairOf()[0]),
  "getTags standard": ({ ctx }) => {
    const [a] = pairOf();
    a.accept();
    return ctx.getTags(a);
  },
  "getTags()": ({ ctx }) => ctx.getTags(),
  "getTags is a copy": ({ ctx }) => {
    const ws = pairOf()[0];
    ctx.acceptWebSocket(ws, ["t"]);
    ctx.getTags(ws).push("u");
    return ctx.getTags(ws);
  },
  // ---- auto-response
  "setWebSocketAutoResponse(null)": ({ ctx }) => ctx.setWebSocketAutoResponse(null),
  "setWebSocketAutoResponse({})": ({ ctx }) => ctx.setWebSocketAutoResponse({ request: "a", response: "b" }),
  "setWebSocketAutoResponse request too long": ({ ctx }) => ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("é".repeat(1025), "b")),
  "setWebSocketAutoResponse response too long": ({ ctx }) => ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("a", "b".repeat(2049))),
  "auto-response round trip": ({ ctx }) => {
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    const a = ctx.getWebSocketAutoResponse();
    const same = a === ctx.getWebSocketAutoResponse();
    ctx.setWebSocketAutoResponse();
    return [a.request, a.response, same, ctx.getWebSocketAutoResponse()];
  },
  "new WebSocketRequestResponsePair()": () => new WebSocketRequestResponsePair(),
  "new WebSocketRequestResponsePair(one)": () => new WebSocketRequestResponsePair("a"),
  "new WebSocketRequestResponsePair coerces": () => {
    const p = new WebSocketRequestResponsePair(1, null);
    return [p.request, p.response, Object.keys(p)];
  },
  "getWebSocketAutoResponseTimestamp fresh": ({ ctx }) => {
    const ws = pairOf()[0];
    ctx.acceptWebSocket(ws);
    return ctx.getWebSocketAutoResponseTimestamp(ws);
  },
  "getWebSocketAutoResponseTimestamp()": ({ ctx }) => ctx.getWebSocketAutoResponseTimestamp(),
  "getWebSocketAutoResponseTimestamp standard": ({ ctx }) => {
    const [a] = pairOf();
    a.accept();
    return ctx.getWebSocketAutoResponseTimestamp(a);
  },
  // ---- event timeout
  "event timeout values": ({ ctx }) => {
    const seen = [];
    for (const v of [5, 1.5, "7", 0, 604800000, null, undefined]) {
      ctx.setHibernatableWebSocketEventTimeout(v);
      seen.push(ctx.getHibernatableWebSocketEventTimeout());
    }
    ctx.setHibernatableWebSocketEventTimeout();
    seen.push(ctx.getHibernatableWebSocketEventTimeout());
    return seen;
  },
  "event timeout too long": ({ ctx }) => ctx.setHibernatableWebSocketEventTimeout(604800001),
  "event timeout negative": ({ ctx }) => ctx.setHibernatableWebSocketEventTimeout(-1),
  "event timeout NaN": ({ ctx }) => ctx.setHibernatableWebSocketEventTimeout(NaN),
  "event timeout Infinity": ({ ctx }) => ctx.setHibernatableWebSocketEventTimeout(Infinity),
  "event timeout object": ({ ctx }) => ctx.setHibernatableWebSocketEventTimeout({}),
  "event timeout 2^32": ({ ctx }) => ctx.setHibernatableWebSocketEventTimeout(2 ** 32),
  // ---- send and close
  "send before accept": () => pairOf()[0].send("x"),
  "send()": () => {
    const [a] = pairOf();
    a.accept();
    a.send();
  },
  "send after close": () => {
    const [a] = pairOf();
    a.accept();
    a.close(1000);
    a.send("x");
  },
  "close before accept": () => pairOf()[0].close(1000),
  "close bad code before accept": () => pairOf()[0].close(999),
  "close codes": () => {
    const seen = {};
    for (const code of [0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65536, -1, 1.5, "1000", "x", NaN, null]) {
      const [a] = pairOf();
      a.accept();
      try {
        a.close(code);
        seen[String(code)] = a.readyState;
      } catch (e) {
        seen[String(code)] = `${e.name}: ${e.message}`;
      }
    }
    return seen;
  },
  "close reason without code": () => {
    const [a] = pairOf();
    a.accept();
    a.close(undefined, "why");
  },
  "close reason too long": () => {
    const [a] = pairOf();
    a.accept();
    a.close(1000, "é".repeat(62));
  },
  "close reason of 123 bytes": () => {
    const [a] = pairOf();
    a.accept();
    a.close(1000, "x".repeat(123));
    return a.readyState;
  },
  "close twice": () => {
    const [a] = pairOf();
    a.accept();
    a.close(1000);
    a.close(1001);
    a.close();
    return a.readyState;
  },
  "close twice with a bad code": () => {
    const [a] = pairOf();
    a.accept();
    a.close(1000);
    a.close(1);
  },
  "illegal invocation send": () => WebSocket.prototype.send.call({}, "x"),
  "illegal invocation getWebSockets": ({ ctx }) => ctx.getWebSockets.call({}),
  // ---- the WebSocket object
  "fresh pair": () => {
    const pair = pairOf();
    const ws = pair[0];
    return {
      keys: Object.keys(pair), own: Object.keys(ws), state: ws.readyState, url: ws.url, protocol: ws.protocol, extensions: ws.extensions,
      binaryType: ws.binaryType, buffered: ws.bufferedAmount, iterable: [...pair].length, tag: Object.prototype.toString.call(ws),
      pairTag: Object.prototype.toString.call(pair), ctor: ws.constructor === WebSocket, target: ws instanceof EventTarget, values: Object.values(pair).length,
    };
  },
  "WebSocket constants": () => {
    const names = ["CONNECTING", "OPEN", "CLOSING", "CLOSED", "READY_STATE_CONNECTING", "READY_STATE_OPEN", "READY_STATE_CLOSING", "READY_STATE_CLOSED"];
    return names.map((n) => [n, WebSocket[n], WebSocket.prototype[n], pairOf()[0][n]]);
  },
  "binaryType assignments": () => {
    const [a] = pairOf();
    const seen = [];
    for (const v of ["arraybuffer", "nonsense", "blob", 1]) {
      try {
        a.binaryType = v;
        seen.push(a.binaryType);
      } catch (e) {
        seen.push(`${e.name}: ${e.message}`);
      }
    }
    return seen;
  },
  "custom properties": () => {
    const [a] = pairOf();
    a.who = "me";
    Object.assign(a, { id: 1 });
    Object.defineProperties(a, { state: { get: () => "s" } });
    return [a.who, a.id, a.state, Object.keys(a)];
  },
  "new WebSocket()": () => new WebSocket(),
  "new WebSocket bad url": () => new WebSocket("nonsense"),
  "new WebSocket bad scheme": () => new WebSocket("ftp://example.com/"),
  "new WebSocket fragment": () => new WebSocket("ws://example.com/#x"),
  "new WebSocket bad protocol": () => new WebSocket("ws://example.com/", "a b"),
  "new WebSocket duplicate protocol": () => new WebSocket("ws://example.com/", ["a", "a"]),
  "new WebSocketPair without new": () => WebSocketPair(),
  "outbound before it is open": ({ ctx }) => {
    const s = new WebSocket("ws://127.0.0.1:9/");
    const seen = [s.readyState, s.url, s.protocol, s.extensions];
    for (const f of [() => s.accept(), () => s.send("x"), () => ctx.acceptWebSocket(s)]) {
      try {
        f();
      } catch (e) {
        seen.push(`${e.name}: ${e.message}`);
      }
    }
    return seen;
  },
  "outbound that fails": async () => {
    const s = new WebSocket("ws://127.0.0.1:9/");
    const seen = [];
    await new Promise((done) => {
      s.addEventListener("open", () => seen.push("open"));
      s.addEventListener("error", (e) => seen.push(["error", e.constructor.name, s.readyState]));
      s.addEventListener("close", (e) => {
        seen.push(["close", e.code, e.reason, e.wasClean, s.readyState]);
        done();
      });
    });
    return seen;
  },
  "pair events": async () => {
    const [a, b] = pairOf();
    const seen = [];
    a.accept();
    b.accept();
    for (const t of ["message", "close", "open"]) {
      b.addEventListener(t, (e) => {
        seen.push([t, e.constructor.name, typeof e.data === "string" ? e.data : e.data?.constructor?.name, e.code, e.reason, e.wasClean, b.readyState, e.target === b]);
      });
    }
    a.send("hi");
    a.send(new Uint8Array([1, 2]));
    seen.push("sent");
    await scheduler.wait(20);
    a.addEventListener("close", (e) => seen.push(["a", e.code, e.reason, e.wasClean, a.readyState]));
    a.close(3001, "bye");
    seen.push(a.readyState);
    await scheduler.wait(50);
    return [...seen, a.readyState, b.readyState];
  },
  "pair sends before the other end accepts": async () => {
    const [a, b] = pairOf();
    const seen = [];
    a.accept();
    a.send("early");
    b.addEventListener("message", (e) => seen.push(e.data));
    await scheduler.wait(5);
    seen.push("accept");
    b.accept();
    await scheduler.wait(20);
    return seen;
  },
  "onmessage": async () => {
    const [a, b] = pairOf();
    const seen = [];
    a.accept();
    b.accept();
    b.onmessage = (e) => seen.push(e.data);
    a.send("1");
    await scheduler.wait(20);
    return [...seen, typeof b.onmessage, b.onclose];
  },
  "half open": async () => {
    const [a, b] = pairOf();
    const seen = [];
    a.accept();
    b.accept({ allowHalfOpen: true });
    b.addEventListener("close", (e) => {
      seen.push(["b", e.code, b.readyState]);
      b.send("after");
    });
    a.addEventListener("message", (e) => seen.push(["a got", e.data, a.readyState]));
    a.addEventListener("close", (e) => seen.push(["a", e.code, e.reason, a.readyState]));
    a.close(1000, "x");
    await scheduler.wait(20);
    seen.push(a.readyState, b.readyState);
    b.close(1001, "y");
    await scheduler.wait(20);
    return [...seen, a.readyState, b.readyState];
  },
  "close without a code": async () => {
    const [a, b] = pairOf();
    a.accept();
    b.accept();
    const closed = new Promise((done) => b.addEventListener("close", (e) => done([e.code, e.reason, e.wasClean])));
    a.close();
    return closed;
  },
  "send after the peer closed": async () => {
    const [a, b] = pairOf();
    const seen = [];
    a.accept();
    b.accept();
    b.addEventListener("close", () => {
      seen.push(b.readyState);
      try {
        b.send("x");
      } catch (e) {
        seen.push(e.message);
      }
      b.close(1000);
    });
    a.close(1000);
    await scheduler.wait(20);
    return seen;
  },
  "a listener that throws": async () => {
    const [a, b] = pairOf();
    const seen = [];
    a.accept();
    b.accept();
    b.addEventListener("message", () => {
      seen.push(1);
      throw new Error("x");
    });
    b.addEventListener("message", () => seen.push(2));
    a.send("x");
    await scheduler.wait(20);
    return seen;
  },
  // ---- attachments
  "attachment default": () => pairOf()[0].deserializeAttachment(),
  "attachment round trips": () => {
    const [a] = pairOf();
    const seen = [];
    for (const v of [undefined, null, 1, "x", [1, 2], { a: 1 }, new Date(5), new Map([[1, 2]]), new Set([1]), 10n, new Uint8Array([1, 2])]) {
      a.serializeAttachment(v);
      const back = a.deserializeAttachment();
      seen.push(back === undefined ? "undefined" : back instanceof Map || back instanceof Set ? [...back] : typeof back === "bigint" ? `${back}n` : back);
    }
    return seen;
  },
  "attachment is a snapshot": () => {
    const [a] = pairOf();
    const o = { n: 1 };
    a.serializeAttachment(o);
    o.n = 2;
    const first = a.deserializeAttachment();
    first.n = 3;
    return [a.deserializeAttachment(), a.deserializeAttachment() === a.deserializeAttachment()];
  },
  "attachment of a class instance": () => {
    const [a] = pairOf();
    class Foo { x = 1; m() {} }
    a.serializeAttachment(new Foo());
    const back = a.deserializeAttachment();
    return [back, Object.getPrototypeOf(back) === Object.prototype];
  },
  "attachment too large": () => pairOf()[0].serializeAttachment("x".repeat(20000)),
  "attachment of 16379 characters": () => pairOf()[0].serializeAttachment("x".repeat(16379)),
  "attachment of 16380 characters": () => pairOf()[0].serializeAttachment("x".repeat(16380)),
  "attachment kept on failure": () => {
    const [a] = pairOf();
    a.serializeAttachment("old");
    try {
      a.serializeAttachment("x".repeat(20000));
    } catch {}
    try {
      a.serializeAttachment(() => 1);
    } catch {}
    return a.deserializeAttachment();
  },
  "attachment function": () => pairOf()[0].serializeAttachment(() => 1),
  "attachment symbol": () => pairOf()[0].serializeAttachment(Symbol("s")),
  "attachment WebSocket": () => pairOf()[0].serializeAttachment(pairOf()[0]),
  "attachment ReadableStream": () => pairOf()[0].serializeAttachment(new ReadableStream()),
  "attachment Request": () => pairOf()[0].serializeAttachment(new Request("http://x/")),
  "attachment Headers": () => pairOf()[0].serializeAttachment(new Headers()),
  "attachment Response": () => pairOf()[0].serializeAttachment(new Response("x")),
  "attachment ctx": ({ ctx }) => pairOf()[0].serializeAttachment(ctx),
  "attachment id": ({ ctx }) => pairOf()[0].serializeAttachment(ctx.id),
  "attachment URL": () => pairOf()[0].serializeAttachment(new URL("http://x/")),
  "attachment nested function": () => pairOf()[0].serializeAttachment({ f() {} }),
  "attachment nothing": () => pairOf()[0].serializeAttachment(),
  "attachment through the prototype": () => {
    const [a] = pairOf();
    WebSocket.prototype.serializeAttachment.call(a, { p: 1 });
    return WebSocket.prototype.deserializeAttachment.call(a);
  },
  // ---- Response
  "new Response 101": () => new Response(null, { status: 101 }),
  "new Response webSocket with 200": () => new Response(null, { webSocket: pairOf()[0] }),
  "new Response webSocket not one": () => new Response(null, { status: 101, webSocket: {} }),
  "new Response webSocket null": () => new Response(null, { status: 426, webSocket: null }).webSocket,
  "new Response webSocket undefined": () => new Response(null, { webSocket: undefined }).webSocket,
  "Response with a WebSocket": () => {
    const [a] = pairOf();
    const r = new Response(null, { status: 101, webSocket: a, headers: { "x-up": "1" } });
    const again = new Response(null, r);
    return [r.status, r.ok, r.body, r.webSocket === a, again.webSocket === a, again.status, again.headers.get("x-up"), r.statusText];
  },
  "Response with a WebSocket cloned": () => new Response(null, { status: 101, webSocket: pairOf()[0] }).clone(),
  "new Response 99": () => new Response(null, { status: 99 }),
  "new Response 600": () => new Response(null, { status: 600 }),
  "new Response status string": () => new Response(null, { status: "201" }).status,
  "new Response 204 with a body": () => new Response("x", { status: 204 }),
  "new Response 204 with an empty body": () => new Response("", { status: 204 }).body,
  "new Response 304 null": () => new Response(null, { status: 304 }).status,
  "Response defaults": async () => {
    const r = new Response("hi");
    return [r.status, r.statusText, r.ok, r.url, r.redirected, r.type, r.headers.get("content-type"), r.bodyUsed, await r.text(), r.bodyUsed];
  },
  "Response()": async () => {
    const r = new Response();
    return [r.status, r.body, await r.text(), r.headers.get("content-type")];
  },
  "Response.json": async () => {
    const r = Response.json({ a: 1 }, { status: 201, headers: { x: "y" } });
    return [r.status, r.headers.get("content-type"), r.headers.get("x"), await r.text()];
  },
  "Response.json(undefined)": () => Response.json(undefined),
  "Response.redirect": () => {
    const r = Response.redirect("https://example.com/a b", 301);
    return [r.status, r.headers.get("location")];
  },
  "Response.redirect relative": () => {
    const r = Response.redirect("/rel");
    return [r.status, r.headers.get("location")];
  },
  "Response.redirect 200": () => Response.redirect("https://example.com/", 200),
  "Response.error": () => {
    const r = Response.error();
    return [r.type, r.status];
  },
  "Response body used twice": async () => {
    const r = new Response("x");
    await r.text();
    await r.text();
  },
  "Response clone after use": async () => {
    const r = new Response("x");
    await r.text();
    r.clone();
  },
  "Response new from used body": async () => {
    const r = new Response("x");
    await r.text();
    return new Response(r.body);
  },
  "Response body kinds": async () => {
    const kinds = [new Uint8Array([65, 66]), new Uint8Array([67]).buffer, new Blob(["D"], { type: "a/b" }), new URLSearchParams({ q: "1 2" }), new Response("E").body, 5, null, undefined, { toString: () => "F" }];
    const seen = [];
    for (const k of kinds) {
      const r = new Response(k);
      seen.push([r.headers.get("content-type"), await r.text()]);
    }
    return seen;
  },
  "Response FormData": async () => {
    const form = new FormData();
    form.append("a", "1");
    const r = new Response(form);
    return [r.headers.get("content-type").split(";")[0], (await r.formData()).get("a")];
  },
  "Response methods": async () => {
    const make = () => new Response('{"a":1}', { headers: { "content-type": "t/x" } });
    const blob = await make().blob();
    return [await make().json(), (await make().arrayBuffer()).byteLength, (await make().bytes()).length, blob.type, blob.size];
  },
  "Response body stream": async () => {
    const reader = new Response("abc").body.getReader();
    const { value, done } = await reader.read();
    return [value.constructor.name, value.length, done];
  },
  "Response body BYOB": async () => {
    const reader = new Response("abc").body.getReader({ mode: "byob" });
    const { value } = await reader.read(new Uint8Array(2));
    return [...value];
  },
  "Response locked": async () => {
    const r = new Response("abc");
    r.body.getReader();
    return r.text();
  },
  "Response clone while locked": () => {
    const r = new Response("x");
    r.body.getReader();
    r.clone();
  },
  "Response init null": () => new Response("a", null).status,
  "Response status NaN": () => new Response("a", { status: "x" }).status,
  "Response headers null": () => [...new Response("x", { headers: null }).headers],
  "Response encodeBody": () => new Response("x", { encodeBody: "nonsense" }),
  "Response cf": () => new Response("x", { cf: { a: 1 } }).cf,
  "Response of an object": () => new Response({}).text(),
  "Response of an async iterable": () => new Response((async function* () {
    yield new Uint8Array([65]);
  })()).text(),
  "Response statusText": () => new Response(null, { status: 200, statusText: "Fine" }).statusText,
  "Response immutable?": () => {
    const r = new Response("x");
    r.headers.set("a", "b");
    return r.headers.get("a");
  },
  "Response json bad": () => new Response("{").json(),
  "Response without new": () => Response("x"),
  "Response tag": () => [Object.prototype.toString.call(new Response()), Object.keys(new Response())],
  // ---- Request
  "new Request()": () => new Request(),
  "new Request relative": () => new Request("/x"),
  "Request GET with a body": () => new Request("http://x/", { body: "b" }),
  "Request stream without duplex": async () => {
    const r = new Request("http://x/", { method: "POST", body: new Response("streamed").body });
    return [await r.text(), r.bodyUsed];
  },
  "Request fields": () => {
    const r = new Request("http://x/y?z#f", { method: "post", headers: { a: "b" } });
    return [r.method, r.url, r.headers.get("a"), r.redirect, r.cf, r.bodyUsed, r.body, r.integrity, r.keepalive, Object.prototype.toString.call(r)];
  },
  "Request methods normalised": () => ["get", "Post", "patch", "foo"].map((m) => {
    try {
      return new Request("http://x/", { method: m }).method;
    } catch (e) {
      return `${e.name}: ${e.message}`;
    }
  }),
  "Request bad method": () => new Request("http://x/", { method: "a b" }),
  "Request of a used one": async () => {
    const r = new Request("http://x/", { method: "POST", body: "x" });
    await r.text();
    new Request(r);
  },
  "Request of a used one with a body": async () => {
    const r = new Request("http://x/", { method: "POST", body: "x" });
    await r.text();
    return new Request(r, { body: "y" }).text();
  },
  "Request init number": () => new Request("http://x/", 5),
  "Request headers null": () => [...new Request("http://x/", { headers: null }).headers],
  "Request urls": () => ["http://x", "http://X/Y", "http://x/a b", "HTTP://x:80/", new URL("http://u/"), { toString: () => "http://o/" }].map((u) => new Request(u).url),
  "fetch relative": () => fetch("/x"),
  "fetch data": async () => (await fetch("data:text/plain,hi")).text(),
  "fetch ftp": () => fetch("ftp://x/"),
  "Request redirect": () => new Request("http://x/", { redirect: "nonsense" }),
  "Request redirect error": () => new Request("http://x/", { redirect: "error" }),
  "Request from Request": async () => {
    const a = new Request("http://x/", { method: "POST", body: "b", headers: { h: "1" } });
    const b = new Request(a, { headers: { h: "2" } });
    return [b.method, b.headers.get("h"), await b.text(), a.bodyUsed];
  },
  "Request with Request as init": async () => {
    const a = new Request("http://x/", { method: "PUT", body: "b", headers: { h: "1" } });
    const b = new Request("http://y/", a);
    return [b.url, b.method, b.headers.get("h"), await b.text()];
  },
  "Request clone": async () => {
    const a = new Request("http://x/", { method: "POST", body: "b" });
    const b = a.clone();
    return [await a.text(), await b.text(), b.method];
  },
  "Request cf": () => {
    const r = new Request("http://x/", { cf: { a: 1 } });
    return [r.cf, new Request(r).cf, r.clone().cf];
  },
  "request.cf": ({ request }) => typeof request.cf,
  "request headers immutable": ({ request }) => request.headers.set("a", "b"),
  "new Request(request) mutable": ({ request }) => {
    const r = new Request(request);
    r.headers.set("a", "b");
    return r.headers.get("a");
  },
  "Request signal": () => {
    const c = new AbortController();
    const r = new Request("http://x/", { signal: c.signal });
    c.abort();
    return [r.signal.aborted, new Request("http://x/").signal instanceof AbortSignal];
  },
  // ---- Headers
  "Headers iteration": () => [...new Headers([["b", "1"], ["A", "2"], ["b", "3"], ["set-cookie", "x"], ["Set-Cookie", "y"]])],
  "Headers getSetCookie": () => {
    const h = new Headers();
    h.append("set-cookie", "a=1");
    h.append("Set-Cookie", "b=2");
    return [h.getSetCookie(), h.getAll("set-cookie"), h.get("set-cookie")];
  },
  "Headers getAll other": () => new Headers({ a: "1" }).getAll("a"),
  "Headers bad name": () => new Headers({ "a b": "1" }),
  "Headers bad value": () => new Headers({ a: "1\n2" }),
  "Headers trimmed": () => new Headers({ a: "  x\t" }).get("a"),
  "Headers non-latin": () => new Headers({ a: "żółw" }).get("a"),
  "Headers null": () => new Headers(null),
  "Headers coercion": () => [...new Headers({ a: 1, b: null, c: undefined })],
  "Headers forEach": () => {
    const seen = [];
    new Headers({ b: "2", a: "1" }).forEach((v, k, h) => seen.push([k, v, h instanceof Headers]));
    return seen;
  },
  "Headers has get missing": () => [new Headers().has("x"), new Headers().get("x")],
  "Headers pair of one": () => new Headers([["a"]]),
  "Headers number": () => new Headers(5),
  "Headers keys values": () => [[...new Headers({ a: "1" }).keys()], [...new Headers({ a: "1" }).values()], [...new Headers({ a: "1" }).entries()]],
  // ---- ctx
  "ctx keys": ({ ctx }) => [Object.keys(ctx), Object.prototype.toString.call(ctx)],
  "ctx prototype": ({ ctx }) => Object.getOwnPropertyNames(Object.getPrototypeOf(ctx)).sort(),
  "ctx.id": ({ ctx }) => [ctx.id === ctx.id, ctx.id.name, typeof ctx.id.toString(), ctx.id.equals(ctx.id), Object.keys(ctx.id), Object.prototype.toString.call(ctx.id)],
  "ctx.id equals other": ({ ctx }) => ctx.id.equals("x"),
  "ctx.id assign": ({ ctx }) => {
    const before = ctx.id;
    let thrown = null;
    try {
      ctx.id = 1;
    } catch (e) {
      thrown = `${e.name}: ${e.message}`;
    }
    return [thrown, ctx.id === before];
  },
  "ctx.storage assign": ({ ctx }) => {
    const d = Object.getOwnPropertyDescriptor(ctx, "storage");
    return [typeof d.get, typeof d.value, d.writable, d.enumerable, d.configurable];
  },
  "ctx.props": ({ ctx }) => ctx.props,
  "ctx.waitUntil()": ({ ctx }) => ctx.waitUntil(),
  "ctx.waitUntil(5)": ({ ctx }) => ctx.waitUntil(5),
  "ctx.blockConcurrencyWhile()": ({ ctx }) => ctx.blockConcurrencyWhile(),
  "ctx.blockConcurrencyWhile(5)": ({ ctx }) => ctx.blockConcurrencyWhile(5),
  "ctx.blockConcurrencyWhile value": ({ ctx }) => ctx.blockConcurrencyWhile(() => 7),
  "ctx.blockConcurrencyWhile order": async ({ ctx }) => {
    const seen = [];
    const p = ctx.blockConcurrencyWhile(async () => {
      seen.push("in");
      await null;
      seen.push("still in");
    });
    seen.push("after the call");
    await p;
    seen.push("after");
    return seen;
  },
  "ctx.blockConcurrencyWhile nested": async ({ ctx }) => ctx.blockConcurrencyWhile(async () => ctx.blockConcurrencyWhile(async () => "deep")),
  "ctx.facets": ({ ctx }) => typeof ctx.facets,
  "ctx.container": ({ ctx }) => typeof ctx.container,
  "ctx.exports": ({ ctx }) => typeof ctx.exports,
  // ---- namespaces and ids
  "idFromName()": ({ env }) => env.SELF.idFromName(),
  "idFromName values": ({ env }) => ["", "a", 5, null].map((n) => [String(env.SELF.idFromName(n)), env.SELF.idFromName(n).name]),
  "idFromString()": ({ env }) => env.SELF.idFromString(),
  "idFromString short": ({ env }) => env.SELF.idFromString("abc"),
  "idFromString wrong": ({ env }) => env.SELF.idFromString("0".repeat(64)),
  "idFromString other namespace": ({ env }) => env.SELF.idFromString(String(env.OTHER.idFromName("a"))),
  "idFromString upper case": ({ env }) => {
    const id = env.SELF.idFromName("a");
    const back = env.SELF.idFromString(String(id).toUpperCase());
    return [back.equals(id), String(back) === String(id), back.name];
  },
  "newUniqueId": ({ env }) => {
    const id = env.SELF.newUniqueId();
    return [String(id).length, id.name, Object.keys(id), env.SELF.idFromString(String(id)).equals(id)];
  },
  "newUniqueId jurisdiction": ({ env }) => env.SELF.newUniqueId({ jurisdiction: "eu" }),
  "newUniqueId jurisdiction null": ({ env }) => String(env.SELF.newUniqueId({ jurisdiction: null })).length,
  "jurisdiction eu": ({ env }) => env.SELF.jurisdiction("eu"),
  "get()": ({ env }) => env.SELF.get(),
  "get(string)": ({ env }) => env.SELF.get("x"),
  "get options": ({ env }) => {
    const id = env.SELF.idFromName("a");
    return [{ locationHint: "weur" }, { routingMode: "x" }, { routingMode: "primary-only" }, { retry: { timeoutMs: 1 } }, { retry: { maxRetries: 11 } }, {}].map((o) => {
      try {
        return typeof env.SELF.get(id, o);
      } catch (e) {
        return `${e.name}: ${e.message}`;
      }
    });
  },
  "getByName()": ({ env }) => env.SELF.getByName(),
  "stub": ({ env }) => {
    const stub = env.SELF.getByName("n");
    return [Object.keys(stub), stub.name, String(stub.id) === String(env.SELF.idFromName("n")), stub.then, typeof stub.anything, typeof stub.fetch, Object.prototype.toString.call(stub), "then" in stub, "foo" in stub];
  },
  "stub unique": ({ env }) => {
    const stub = env.SELF.get(env.SELF.newUniqueId());
    return [Object.keys(stub), stub.name];
  },
  "stub awaited": async ({ env }) => {
    const stub = env.SELF.getByName("n");
    return (await stub) === stub;
  },
  "stub.fetch relative": ({ env }) => env.SELF.getByName("n").fetch("/foo"),
  "stub.fetch()": ({ env }) => env.SELF.getByName("n").fetch(),
  "namespace": ({ env }) => [Object.prototype.toString.call(env.SELF), Object.keys(env.SELF), "idFromName" in env.SELF],
  // ---- timers and globals
  "setTimeout returns": () => {
    const id = setTimeout(() => {}, 1);
    clearTimeout(id);
    return typeof id;
  },
  "setTimeout string": () => setTimeout("x"),
  "setTimeout()": () => setTimeout(),
  "setInterval returns": () => {
    const id = setInterval(() => {}, 1000);
    clearInterval(id);
    return typeof id;
  },
  "clearTimeout odd": () => [clearTimeout(undefined), clearTimeout(null), clearTimeout(12345), clearTimeout("x")].map(String),
  "scheduler.wait": () => scheduler.wait(1),
  "navigator.userAgent": () => navigator.userAgent,
  "caches": async () => [typeof caches.default, await caches.default.match("http://x/"), typeof (await caches.open("a"))],
  "globals": () => ["WebSocket", "WebSocketPair", "WebSocketRequestResponsePair", "Headers", "Request", "Response", "fetch", "caches", "crypto", "self", "navigator", "scheduler", "FixedLengthStream", "IdentityTransformStream", "ErrorEvent", "MessageEvent", "CloseEvent", "EventTarget", "URLPattern", "structuredClone", "queueMicrotask", "performance", "process", "Buffer", "global", "localStorage", "require", "Cloudflare", "addEventListener", "reportError", "DOMException", "AbortSignal", "TextDecoderStream", "CompressionStream"].map((n) => [n, typeof globalThis[n]]),
  "process": () => [Object.prototype.toString.call(process), process.release.name, process.argv, process.cwd(), process.pid, process.exitCode, process.umask(), process.getgroups(), process.connected],
  "process is an emitter": () => {
    const heard = [];
    const f = (...args) => heard.push(args);
    const same = process.on("something", f) === process;
    return [same, process.emit("something", 1, 2), process.listenerCount("something"), process.off("something", f) === process, process.emit("something"), heard];
  },
  "process.stdin, stdout, stderr": () => ["stdin", "stdout", "stderr"].map((n) => [process[n].fd, typeof process[n].isTTY, typeof process[n].write, process[n].readable, process[n] === process[n]]),
  "process.stdout.write": async () => [process.stdout.write("said on stdout\n"), await new Promise((done) => process.stdout.write("and again\n", (e) => done(e === undefined || e === null)))],
  "process.getBuiltinModule": () => [process.getBuiltinModule("node:path").basename("/a/b"), process.getBuiltinModule("no such module")],
  "HTMLRewriter": () => typeof HTMLRewriter,
  "EventSource": () => typeof EventSource,
  "BroadcastChannel": () => typeof BroadcastChannel,
  "self": () => self === globalThis,
  "eval": () => eval("1"),
  "new Function": () => new Function("return 1")(),
  "crypto.subtle.timingSafeEqual": () => [crypto.subtle.timingSafeEqual(new Uint8Array(2), new Uint8Array(2)), crypto.subtle.timingSafeEqual(new Uint8Array([1]), new Uint8Array([2]))],
  "crypto.subtle.timingSafeEqual lengths": () => crypto.subtle.timingSafeEqual(new Uint8Array(2), new Uint8Array(3)),
  "crypto MD5": async () => Buffer.from(await crypto.subtle.digest("MD5", new TextEncoder().encode("abc"))).toString("hex"),
  "crypto.DigestStream": async () => {
    const s = new crypto.DigestStream("SHA-256");
    const w = s.getWriter();
    await w.write(new TextEncoder().encode("abc"));
    await w.close();
    return [Buffer.from(await s.digest).toString("hex"), typeof s.bytesWritten];
  },
  "FixedLengthStream": async () => {
    const { readable, writable } = new FixedLengthStream(3);
    const w = writable.getWriter();
    void w.write(new Uint8Array([1, 2, 3]));
    void w.close();
    return (await new Response(readable).arrayBuffer()).byteLength;
  },
  "IdentityTransformStream": async () => {
    const { readable, writable } = new IdentityTransformStream();
    const w = writable.getWriter();
    void w.write(new Uint8Array([1]));
    void w.close();
    return (await new Response(readable).arrayBuffer()).byteLength;
  },
  "structuredClone": () => structuredClone({ a: new Date(1) }),
  "btoa": () => [btoa("x"), atob("eA==")],
  "AbortSignal.timeout": () => AbortSignal.timeout(100000).aborted,
};

/** Asks every question and returns [name, answer] pairs. */
export async function ask(context) {
  const answers = [];
  for (const [name, probe] of Object.entries(probes)) {
    let answer;
    try {
      answer = { value: show(await probe(context)) };
    } catch (e) {
      answer = { error: `${e?.name}: ${e?.message}` };
    }
    answers.push([name, answer]);
  }
  return answers;
}

/** JSON keeps neither undefined nor -0. */
function show(value) {
  return JSON.parse(JSON.stringify(value === undefined ? "(undefined)" : value, (_k, v) => (v === undefined ? "(undefined)" : v)));
}
