/* What is asked of the admin API: docs/admin-api.md. */

/** Asks, and returns the answer; an error has the text that the server gave. */
export async function ask(path, options = {}) {
  const r = await fetch(path, { cache: "no-store", ...options });
  const answer = await r.json().catch(() => ({ error: `${r.status} ${r.statusText}` }));
  if (answer.error !== undefined) throw Object.assign(new Error(answer.error), { status: r.status });
  return answer;
}

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) });

export const pathOf = (o) => `/api/objects/${encodeURIComponent(o.namespace)}/${o.id}`;

/** Follows the log until the signal; the connection is made again when it ends. */
export async function follow(query, line, signal) {
  for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 8000)) {
    try {
      const r = await fetch(`/api/tail?${new URLSearchParams(query)}`, { signal, cache: "no-store" });
      if (!r.ok) throw new Error(r.statusText);
      wait = 500;
      let rest = "";
      for await (const text of chunks(r.body.pipeThrough(new TextDecoderStream()))) {
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        for (const l of lines) if (l !== "") line(JSON.parse(l));
      }
    } catch {
      if (signal.aborted) return;
    }
    query = { ...query, past: 0 };
    await new Promise((go) => setTimeout(go, wait));
  }
}

async function* chunks(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** Runs f now and again, while somebody looks at the page. Returns what runs it at once. */
export function poll(every, f) {
  let timer;
  let running = false;
  const run = async () => {
    if (running) return;
    running = true;
    clearTimeout(timer);
    try {
      if (!document.hidden) await f();
    } finally {
      running = false;
      timer = setTimeout(run, typeof every === "function" ? every() : every);
    }
  };
  document.addEventListener("visibilitychange", () => document.hidden || run());
  run();
  return run;
}
