import { ask } from "./probes.js";

export class Probe {
  constructor(ctx, env) {
    this.ctx = ctx;
    this.env = env;
  }

  async fetch(request) {
    return Response.json(await ask({ ctx: this.ctx, env: this.env, request }));
  }
}

export class Other {}

export default {
  async fetch(request, env) {
    return env.SELF.getByName("probe").fetch(request);
  },
};
