import assert from "node:assert/strict";
import { mock, test } from "node:test";

// Before native.ts takes them.
mock.timers.enable({ apis: ["setTimeout"] });

const { Section } = await import("../src/gate.ts");
const { criticalSection } = await import("../src/critical.ts");
const { Outlet } = await import("../src/outlet.ts");
const { Owner } = await import("../src/owner.ts");
const { Turns } = await import("../src/turn.ts");

class Plain extends Owner {
  whenDurable(): null {
    return null;
  }

  output(say: () => void): boolean {
    say();
    return true;
  }

  get settled(): boolean {
    return true;
  }

  tellProgress(): void {}

  commitTurn(): void {}

  uncaught(error: unknown): void {
    throw error;
  }
}

/** A gate with its loop, and nothing around. */
function owner(): { o: InstanceType<typeof Plain>; idle: () => Promise<void> } {
  const turns = new Turns(new Outlet(1024), {
    afterCut() {},
    write() {},
    bounced() {
      turns.begin();
      turns.finish();
    },
    finished() {},
    fatal(e) {
      throw e;
    },
  });
  const o = new Plain(1, turns, turns.out);
  const idle = async () => {
    for (let i = 0; i < 3; i++) await new Promise((r) => setImmediate(r));
  };
  return { o, idle };
}

test("sections go before what waits, and what waits in one that ends goes behind its parent's", () => {
  const root = new Section(null, 0);
  const seen: string[] = [];
  const say = (s: string) => () => void seen.push(s);
  const child = root.enter();
  assert.equal(root.open, false);
  root.wait(say("outer 1"));
  child.wait(say("inner"));
  root.waitForSection(say("section"));
  assert.equal(root.next(), undefined, "the child runs");
  child.next()!();
  child.wait(say("left over"));
  child.end();
  for (let w = root.next(); w !== undefined; w = root.next()) w();
  assert.deepEqual(seen, ["inner", "section", "outer 1", "left over"]);
  assert.equal(root.open, true);
  assert.equal(child.live(), root);
});

test("a long queue keeps its order", () => {
  const root = new Section(null, 0);
  const seen: number[] = [];
  for (let i = 0; i < 5000; i++) root.wait(() => void seen.push(i));
  for (let i = 0; i < 3000; i++) root.next()!();
  for (let i = 5000; i < 6000; i++) root.wait(() => void seen.push(i));
  for (let w = root.next(); w !== undefined; w = root.next()) w();
  assert.deepEqual(seen, Array.from({ length: 6000 }, (_, i) => i));
});

test("a section that takes 30 s resets, and nothing runs any more", async () => {
  const { o, idle } = owner();
  let reset: unknown;
  let settled = false;
  void criticalSection(o, () => new Promise(() => {}), { reset: (e) => (reset = e), rejects: false }).finally(() => (settled = true));
  await idle();
  mock.timers.tick(29_999);
  assert.equal(reset, undefined);
  mock.timers.tick(1);
  const error = reset as unknown as Error & { overloaded: boolean; durableObjectReset: boolean };
  assert.equal(
    error.message,
    "A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset.",
  );
  assert.deepEqual([error.overloaded, error.durableObjectReset], [true, true]);
  o.turns.later(o.scope, () => assert.fail("the gate is closed for good"));
  await idle();
  assert.equal(settled, false);
});

test("a failure that only rejects opens the gate again", async () => {
  const { o, idle } = owner();
  const failed = criticalSection(o, async () => Promise.reject(new Error("no")), { reset: () => assert.fail("reset"), rejects: true });
  await assert.rejects(failed, /^Error: no$/);
  let ran = false;
  o.turns.later(o.scope, () => {
    ran = true;
  });
  await idle();
  assert.equal(ran, true);
});

test("sections of one level run one after the other", async () => {
  const { o, idle } = owner();
  const seen: string[] = [];
  const failure = { reset: () => assert.fail("reset"), rejects: false };
  const one = criticalSection(o, async () => { seen.push("one"); await idle(); seen.push("one over"); }, failure);
  const two = criticalSection(o, () => { seen.push("two"); }, failure);
  await Promise.all([one, two]);
  assert.deepEqual(seen, ["one", "one over", "two"]);
});
