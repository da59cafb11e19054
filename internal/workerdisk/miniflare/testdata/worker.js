// Writes into every store what there can be, and shows what it reads. It runs
// under miniflare, which makes the reference data, and under Dormouse.

const ascii = "abcdefghijklmnopqrstuvwxyz0123456789";
/** Bytes of which none is like its neighbour. */
const bytes = (n, seed) => Uint8Array.from({ length: n }, (_, i) => (i * 31 + (i >> 8) * 7 + seed) & 255);

async function write(env) {
  await env.SESSIONS.put("plain", "hello");
  await env.SESSIONS.put("empty", "");
  await env.SESSIONS.put("bytes", bytes(1000, 1));
  await env.SESSIONS.put("large", bytes(70_000, 2)); // past what our index holds itself
  await env.SESSIONS.put("json", JSON.stringify({ a: [1, "zwei", null] }), { metadata: { by: "Zoë ☃ 𝄞", n: 1.5, list: [null, true] } });
  await env.SESSIONS.put("a/b c?d#e%2F&f=g", "odd name");
  await env.SESSIONS.put("ключ ☃ 𝄞", "a name that is not ASCII");
  await env.SESSIONS.put("nul\0in it", "nul");
  await env.SESSIONS.put("k".repeat(512), "the longest name");
  await env.SESSIONS.put("far", "stays", { expiration: 2147000000, metadata: "text" });
  await env.SESSIONS.put("soon", "goes", { expirationTtl: 60 });
  await env.SESSIONS.put("null", "with null", { metadata: null });
  await env.SESSIONS.put("twice", "first");
  await env.SESSIONS.put("twice", "second");
  await env.SESSIONS.put("deleted", "x");
  await env.SESSIONS.delete("deleted");
  await env.FLAGS.put("dark", "on");
  await env.UNNAMED.put("of a binding without an id", "1");
  await env.ODD.put("in a namespace with an odd id", "2");
  await env.VOID.get("nothing was ever put");

  const b = env.MEDIA;
  await b.put("plain.txt", "hello");
  await b.put("empty", "");
  await b.put("dir/all", bytes(3000, 3), {
    httpMetadata: {
      contentType: "image/png", contentLanguage: "de", contentDisposition: 'attachment; filename="ü.png"', contentEncoding: "gzip",
      cacheControl: "max-age=60", cacheExpiry: new Date(4102444800123),
    },
    customMetadata: { zeta: "first", alpha: "Zoë ☃ 𝄞", "": "no name" },
    sha256: await crypto.subtle.digest("SHA-256", bytes(3000, 3)),
  });
  await b.put("dir/sha1", ascii, { sha1: await crypto.subtle.digest("SHA-1", new TextEncoder().encode(ascii)) });
  await b.put("dir/md5", ascii, { md5: await crypto.subtle.digest("MD5", new TextEncoder().encode(ascii)) });
  await b.put("dir/sha512", ascii, { sha512: await crypto.subtle.digest("SHA-512", new TextEncoder().encode(ascii)) });
  await b.put("ключ ☃ 𝄞", "a name that is not ASCII");
  await b.put("nul\0in it", "nul");
  await b.put("", "no name at all");
  await b.put("k".repeat(1024), "the longest name");
  await b.put("large", bytes(70_000, 4));
  await b.put("twice", "first");
  await b.put("twice", "second");
  await b.put("deleted", "x");
  await b.delete("deleted");
  await env.PREVIEWED.put("of a preview", "3");
  await env.HOLLOW.head("nothing was ever put");
}

/** Uploads in parts: one whole, one begun, one given up. */
async function upload(env) {
  const b = env.MEDIA;
  const whole = await b.createMultipartUpload("parts", { httpMetadata: { contentType: "video/mp4" }, customMetadata: { made: "of parts" } });
  const parts = [];
  for (const [n, size] of [[2, 6000], [1, 6000], [7, 123]]) parts.push(await whole.uploadPart(n, bytes(size, n)));
  await whole.uploadPart(9, bytes(10, 9)); // one that is not needed
  await whole.complete(parts);
  const one = await b.createMultipartUpload("one part");
  await one.complete([await one.uploadPart(1, "the only one")]);
  const begun = await b.createMultipartUpload("begun", { customMetadata: { never: "finished" } });
  await begun.uploadPart(1, bytes(100, 5));
  await begun.uploadPart(2, bytes(100, 6));
  await b.createMultipartUpload("begun without a part");
  const left = await b.createMultipartUpload("given up");
  await left.uploadPart(1, bytes(100, 7));
  await left.abort();
}

const hex = (buffer) => Array.from(new Uint8Array(buffer), (x) => x.toString(16).padStart(2, "0")).join("");
const digest = async (buffer) => `${buffer.byteLength} bytes, ${hex(await crypto.subtle.digest("SHA-256", buffer))}`;

async function readKV(kv) {
  const all = [];
  let cursor;
  do {
    const page = await kv.list({ cursor, limit: 4 });
    for (const k of page.keys) {
      const { value, metadata } = await kv.getWithMetadata(k.name, "arrayBuffer");
      all.push({ ...k, value: await digest(value), read: metadata });
    }
    cursor = page.list_complete ? undefined : page.cursor;
  } while (cursor !== undefined);
  return all;
}

const shown = (o) => ({
  key: o.key, version: o.version, size: o.size, etag: o.etag, httpEtag: o.httpEtag, uploaded: o.uploaded.toISOString(), checksums: o.checksums.toJSON(),
  http: o.httpMetadata, custom: Object.entries(o.customMetadata), range: o.range,
});

async function readR2(bucket) {
  const all = [];
  let cursor;
  do {
    const page = await bucket.list({ cursor, limit: 4, include: ["httpMetadata", "customMetadata"] });
    for (const o of page.objects) {
      const got = await bucket.get(o.key);
      const headers = new Headers();
      got.writeHttpMetadata(headers);
      const of = {
        listed: shown(o), head: shown(await bucket.head(o.key)), got: shown(got), headers: [...headers], body: await digest(await got.arrayBuffer()),
        unless: (await bucket.get(o.key, { onlyIf: { etagDoesNotMatch: o.etag } })).body === undefined,
        newer: (await bucket.get(o.key, { onlyIf: { uploadedAfter: o.uploaded } })).body === undefined,
      };
      if (o.size > 20) {
        const part = await bucket.get(o.key, { range: { offset: o.size / 2 - 5 | 0, length: 11 } });
        of.part = { ...shown(part), body: hex(await part.arrayBuffer()) };
      }
      all.push(of);
    }
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
  const groups = await bucket.list({ delimiter: "/" });
  return { all, groups: groups.delimitedPrefixes };
}

export default {
  async fetch(request, env) {
    switch (new URL(request.url).pathname) {
      case "/write":
        await write(env);
        return new Response("written");
      case "/upload":
        await upload(env);
        return new Response("uploaded");
    }
    const kv = {}, r2 = {};
    for (const name of ["SESSIONS", "FLAGS", "UNNAMED", "ODD", "VOID"]) kv[name] = await readKV(env[name]);
    for (const name of ["MEDIA", "PREVIEWED", "HOLLOW"]) r2[name] = await readR2(env[name]);
    return Response.json({ kv, r2 });
  },
};
