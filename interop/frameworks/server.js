import * as Automerge from "@automerge/automerge";
import { zValidator } from "@hono/zod-validator";
import { DurableObject } from "cloudflare:workers";
import { Effect, Schema } from "effect";
import { createSchema, createYoga } from "graphql-yoga";
import { Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { bodyLimit } from "hono/body-limit";
import { getCookie, setCookie } from "hono/cookie";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { jwt, sign } from "hono/jwt";
import { streamSSE, streamText } from "hono/streaming";
import { EncryptJWT, exportJWK, exportSPKI, generateKeyPair, jwtDecrypt, jwtVerify, SignJWT } from "jose";
import superjson from "superjson";
import { z } from "zod";

const yoga = createYoga({
  graphqlEndpoint: "/graphql",
  schema: createSchema({
    typeDefs: `
      type Query { total: Int! }
      type Mutation { add(n: Int!): Int! }
      type Subscription { count(to: Int!): Int! }`,
    resolvers: {
      Query: { total: (_root, _args, { storage }) => storage.kv.get("total") ?? 0 },
      Mutation: {
        add(_root, { n }, { storage }) {
          const total = (storage.kv.get("total") ?? 0) + n;
          storage.kv.put("total", total);
          return total;
        },
      },
      Subscription: {
        count: {
          async *subscribe(_root, { to }) {
            for (let i = 1; i <= to; i++) yield { count: i };
          },
        },
      },
    },
  }),
});

/** GraphQL Yoga in an object: queries, mutations, and subscriptions as server-sent events. */
export class Yoga extends DurableObject {
  fetch(request) {
    return yoga.fetch(request, { storage: this.ctx.storage });
  }
}

/** An Automerge document that is kept as a BLOB, and values of superjson. */
export class Notes extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, bytes BLOB)");
  }

  add(text) {
    const [row] = this.ctx.storage.sql.exec("SELECT bytes FROM documents WHERE name = 'notes'").toArray();
    const before = row === undefined ? Automerge.from({ notes: [] }) : Automerge.load(new Uint8Array(row.bytes));
    const after = Automerge.change(before, (d) => d.notes.push(text));
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO documents VALUES ('notes', ?)", Automerge.save(after));
    return { notes: [...after.notes], changes: Automerge.getAllChanges(after).length };
  }

  keep(text) {
    if (text !== "") this.ctx.storage.kv.put("kept", superjson.stringify(superjson.parse(text)));
    return this.ctx.storage.kv.get("kept");
  }
}

const secret = "a secret of this test";
const app = new Hono().basePath("/hono");
app.use(cors());
app.get("/tagged", etag(), (c) => c.json({ ok: true }));
app.get("/events", (c) => streamSSE(c, async (s) => {
  for (let id = 0; id < 3; id++) await s.writeSSE({ data: `event ${id}`, id: String(id) });
}));
app.get("/parts", (c) => streamText(c, async (s) => {
  for (let i = 0; i < 3; i++) {
    await s.write(`part ${i};`);
    await s.sleep(5);
  }
}));
app.post("/valid", zValidator("json", z.object({ name: z.string().min(2) })), (c) => c.json({ hello: c.req.valid("json").name }));
app.post("/upload", zValidator("form", z.object({ title: z.string(), file: z.instanceof(File) })), async (c) => {
  const { title, file } = c.req.valid("form");
  return c.json([title, file.name, file.type, await file.text()]);
});
app.get("/cookie", (c) => {
  setCookie(c, "seen", "yes", { httpOnly: true });
  setCookie(c, "again", "too");
  return c.text(getCookie(c, "seen") ?? "never");
});
app.get("/token", async (c) => c.text(await sign({ sub: "ada", exp: Math.floor(Date.now() / 1000) + 60 }, secret, "HS256")));
app.get("/me", jwt({ secret, alg: "HS256" }), (c) => c.text(c.get("jwtPayload").sub));
app.get("/door", basicAuth({ username: "u", password: "p" }), (c) => c.text("in"));
app.post("/short", bodyLimit({ maxSize: 10, onError: (c) => c.text("too long", 413) }), async (c) => c.text(await c.req.text()));
app.get("/throws", () => {
  throw new Error("thrown");
});
app.onError((e, c) => e.getResponse?.() ?? c.text(`handled: ${e.message}`, 500));

/** jose: what one algorithm signs, it verifies; and what it encrypts, it decrypts. */
async function tokens(alg) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const token = await new SignJWT({ a: 1 }).setProtectedHeader({ alg }).setIssuedAt().setExpirationTime("2h").sign(privateKey);
  const { payload } = await jwtVerify(token, publicKey);
  const sealed = await new EncryptJWT({ b: 2 }).setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(new Uint8Array(32));
  const opened = await jwtDecrypt(sealed, new Uint8Array(32));
  return [payload.a, opened.payload.b, (await exportJWK(publicKey)).kty, (await exportSPKI(publicKey)).split("\n")[0]];
}

const Person = Schema.Struct({ name: Schema.String, age: Schema.Number });

/** effect: schemas, fibers, time. */
const program = (input) => Effect.gen(function* () {
  const person = yield* Schema.decodeUnknownEffect(Person)(input);
  yield* Effect.sleep("5 millis");
  const all = yield* Effect.all([Effect.succeed(1), Effect.promise(async () => 2)], { concurrency: 2 });
  return { ...person, all };
}).pipe(Effect.catch(() => Effect.succeed("refused")));

export default {
  async fetch(request, env, ctx) {
    const [, what, arg] = new URL(request.url).pathname.split("/");
    switch (what) {
      case "graphql": return env.Yoga.getByName("main").fetch(request);
      case "hono": return app.fetch(request, env, ctx);
      case "jose": return Response.json(await tokens(arg));
      case "effect": return Response.json(await Effect.runPromise(program(await request.json())));
      case "automerge": return Response.json(await env.Notes.getByName("main").add(arg));
      case "superjson": return new Response(await env.Notes.getByName("main").keep(await request.text()));
    }
    return new Response("not found", { status: 404 });
  },
};
