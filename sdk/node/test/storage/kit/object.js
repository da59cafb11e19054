// The Durable Object that plays scenarios: `POST /` with `{scenario, step}` answers with what was seen;
// `{bench, n}` runs operations for somebody who has a clock.
// For any runtime that runs Durable Object classes; it needs nothing but the standard API.

import { benches } from './benches.js';
import { runStep } from './run.js';
import { scenarios } from './scenarios.js';

class Player {
  constructor(ctx) {
    this.ctx = ctx;
    this.mem = { alarms: [] };
  }

  async fetch(request) {
    const { scenario: name, step, bench, n } = await request.json();
    if (bench !== undefined) {
      await benches[bench](this.ctx.storage, n);
      return new Response('done');
    }
    const scenario = scenarios.find((s) => s.name === name);
    if (scenario === undefined) return new Response(`no scenario "${name}"`, { status: 404 });
    return Response.json(await runStep(scenario, step, this.ctx.storage, this.mem));
  }

  async alarm(info) {
    const { onAlarm } = this.mem;
    this.mem.alarms.push(info ?? null);
    if (onAlarm !== undefined) await onAlarm(this.ctx.storage, info);
  }
}

export class SqlPlayer extends Player {}
export class KvPlayer extends Player {}
export class NoAlarm {
  constructor(ctx) { this.ctx = ctx; this.mem = {}; }
  fetch(request) { return Player.prototype.fetch.call(this, request); }
}

// The front: `/<backend>/<object name>`.
const frontDoor = {
  fetch(request, env) {
    const [, backend, name] = new URL(request.url).pathname.split('/');
    const namespace = env[backend];
    return namespace.get(namespace.idFromName(decodeURIComponent(name))).fetch(request);
  },
};
export default frontDoor;
