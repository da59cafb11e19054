import { Agent, callable, routeAgentRequest } from "agents";

export class Counter extends Agent {
  static options = { hibernate: true };
  initialState = { n: 0, ticks: 0 };

  onStart() {
    this.sql`CREATE TABLE IF NOT EXISTS calls (n INTEGER PRIMARY KEY, by INTEGER)`;
  }

  @callable()
  async add(by) {
    this.sql`INSERT INTO calls (by) VALUES (${by})`;
    this.setState({ ...this.state, n: this.state.n + by });
    const [{ rows }] = this.sql`SELECT count(*) AS rows FROM calls`;
    return { n: this.state.n, rows };
  }

  @callable({ streaming: true })
  async count(stream, to) {
    for (let i = 1; i <= to; i++) stream.send(i);
    stream.end("done");
  }

  @callable()
  async remind(seconds) {
    await this.schedule(seconds, "tick", { from: "schedule" });
  }

  tick({ from }) {
    this.setState({ ...this.state, ticks: this.state.ticks + 1, from });
  }

  @callable()
  fails() {
    throw new Error("cannot");
  }

  onRequest(request) {
    return Response.json({ method: request.method, name: this.name, state: this.state });
  }
}

export default {
  async fetch(request, env) {
    return (await routeAgentRequest(request, env)) ?? new Response("not found", { status: 404 });
  },
};
