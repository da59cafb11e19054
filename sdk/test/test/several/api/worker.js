import { DurableObject } from "cloudflare:workers";

export class Visits extends DurableObject {
  async add() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
}

export default {
  fetch(request, env) {
    return env.ROOMS.fetch(request);
  },
};
