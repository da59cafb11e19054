/*
 * The watchdog: a second thread's look at the first. When one turn takes longer
 * than it may, the first thread is interrupted by the inspector, whatever it
 * runs, and ends the instance that it runs for; if it cannot be interrupted (a
 * query that does not end, for example), the process ends.
 *
 * Between turns it looks at the beat of the event loop (pulse.ts): code that
 * Node has continued may be without end too.
 *
 * It looks while there is something to do and sleeps otherwise: an idle guest
 * has no tick.
 */

import { writeSync } from "node:fs";
import { Session } from "node:inspector";
import { setTimeout as sleep } from "node:timers/promises";
import { forSnapshot, inTurn, word } from "./pulse.ts";

/** What the first thread says to the question whether a turn still runs. */
export type Verdict =
  | "over"
  /** It will be off the stack in a moment. */
  | "cut"
  /** Nothing that could be ended would stop it. */
  | "hopeless";

export interface Watch {
  readonly words: Int32Array;
  /**
   * The global under which the first thread shows its `(turn: number, beat: number) => Verdict`, until it is called
   * with a turn of -1. A beat of `inTurn` asks about the turn, another one about what runs outside of turns; a turn of
   * `forSnapshot` asks for nothing but a heap snapshot.
   */
  readonly global: string;
  /** How long a turn may take; ms. */
  readonly stall: number;
  /** How much memory the process may occupy while a turn takes long; bytes, 0: any. */
  readonly memory: number;
  /** Whether a heap snapshot is written when the process occupies more, at whatever time. */
  readonly snapshots: boolean;
}

/** How long a cut may take. */
const patience = 1000;

/** The descriptor of the marks, and where in it the watchdog writes; docs/guest-protocol.md, "Marks". */
const marksFd = 4;
const pulseAt = 8;
const snapshotAt = 20;

/** How long the host may take to end a process that has written its heap snapshot. */
const hostPatience = 5000;

export async function serveWatchdog(watch: Watch): Promise<never> {
  const { words, stall } = watch;
  const question = await Question.of(watch.global);
  const tick = Math.max(20, Math.min(250, stall / 8));
  let turn: number | null = null; // as of the last look
  let since = 0; // it has been seen
  let last = performance.now();
  let beat: number | null = null; // as of the last look between turns
  let beaten = 0; // it has been seen
  for (;;) {
    const now = performance.now();
    // The whole process may have stood still. That is nobody's turn.
    if (now - last > tick + stall / 2) turn = beat = null;
    last = now;
    if (watch.snapshots && watch.memory > 0 && process.memoryUsage.rss() > watch.memory) await outOfMemory(question, watch);
    if (Atomics.load(words, word.inspected) === 1) {
      turn = beat = null;
      await sleep(tick);
      last = performance.now();
      continue;
    }
    const seen = Atomics.load(words, word.turns);
    if (seen !== turn) {
      turn = seen;
      since = now;
      beat = null;
      mark(0, turn);
    } else if (Atomics.load(words, word.busy) === 0) {
      mark(0, seen);
      const beating = Atomics.load(words, word.beating) === 1;
      const beats = Atomics.load(words, word.beats);
      if (beats !== beat) {
        beat = beats;
        beaten = now;
      } else if (beating && now - beaten >= stall) {
        await cut(question, words, seen, beat);
      }
      const slept = await woken(words, seen, beating ? stall / 2 : Infinity);
      if (slept === "woken") turn = null;
      last = performance.now();
      if (last - now > stall) beat = null; // stood still, as above
      continue;
    } else {
      mark(Atomics.load(words, word.object), seen);
      const resident = watch.memory > 0 ? process.memoryUsage.rss() : 0;
      if (resident > watch.memory) {
        end(`took ${resident >> 20} MiB of memory; the limit is ${watch.memory >> 20} MiB (guest_memory)`);
      }
      if (now - since >= stall) await cut(question, words, turn, inTurn);
    }
    await sleep(tick);
  }
}

/** Resolves when turns are run again, at once if they are, or when the time has come. */
async function woken(words: Int32Array, seen: number, time: number): Promise<"woken" | "timed-out"> {
  Atomics.store(words, word.asleep, 1);
  if (Atomics.load(words, word.busy) === 1 || Atomics.load(words, word.turns) !== seen) {
    Atomics.store(words, word.asleep, 0);
    return "woken";
  }
  const wait = Atomics.waitAsync(words, word.asleep, 1, time);
  if (!wait.async || (await wait.value) !== "timed-out") return "woken";
  Atomics.store(words, word.asleep, 0);
  return "timed-out";
}

async function cut(question: Question, words: Int32Array, turn: number, beat: number): Promise<void> {
  const verdict = await Promise.race([question.ask(turn, beat), sleep(patience, "nothing" as const)]);
  if (verdict === "over") return;
  for (let waited = 0; verdict === "cut" && waited < patience; waited += 10) {
    if (Atomics.load(words, word.turns) !== turn || (beat !== inTurn && Atomics.load(words, word.beats) !== beat)) return;
    await sleep(10);
  }
  mark(Atomics.load(words, word.object), turn);
  end("code ran without a pause for longer than guest_stall, and could not be ended");
}

/**
 * The process occupies more than it may: says so to the host, which waits, has
 * the first thread write a heap snapshot in the middle of whatever it does, and
 * says that that is over. Then the host ends the process, or this does.
 */
async function outOfMemory(question: Question, { words, memory }: Watch): Promise<never> {
  mark(Atomics.load(words, word.busy) === 1 ? Atomics.load(words, word.object) : 0, Atomics.load(words, word.turns));
  markSnapshot(1);
  try {
    await question.ask(forSnapshot, inTurn);
  } catch (e) {
    writeSync(2, `dormouse guest: no heap snapshot: ${(e as Error).message}\n`);
  }
  markSnapshot(2);
  await sleep(hostPatience);
  end(`took more than ${memory >> 20} MiB of memory (guest_memory)`);
}

function markSnapshot(state: 1 | 2): void {
  writeSync(marksFd, new Int32Array([state]), 0, 4, snapshotAt);
}

const marked = new Int32Array(2);

/** Shows the host whose turn takes long (0: nobody's), should this process die now, and that turns go by. */
function mark(object: number, turn: number): void {
  if (marked[0] === (object | 0) && marked[1] === turn) return;
  marked[0] = object;
  marked[1] = turn;
  writeSync(marksFd, marked, 0, marked.byteLength, pulseAt);
}

function end(reason: string): never {
  writeSync(2, `dormouse guest: ${reason}\n`);
  process.kill(process.pid, "SIGKILL");
  for (;;) {}
}

/** A function of the first thread that can be called while that one runs something else. */
class Question {
  readonly #session: Session;
  readonly #objectId: string;

  private constructor(session: Session, objectId: string) {
    this.#session = session;
    this.#objectId = objectId;
  }

  static async of(global: string): Promise<Question> {
    const session = new Session();
    session.connectToMainThread();
    const { result } = await new Promise<{ result: { objectId?: string } }>((resolve, reject) => {
      session.post("Runtime.evaluate", { expression: `globalThis[${JSON.stringify(global)}]` }, (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      });
    });
    if (result.objectId === undefined) throw new Error("watchdog: the first thread does not show itself");
    const question = new Question(session, result.objectId);
    await question.ask(-1, inTurn);
    return question;
  }

  ask(turn: number, beat: number): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      this.#session.post(
        "Runtime.callFunctionOn",
        { objectId: this.#objectId, functionDeclaration: "function (turn, beat) { return this(turn, beat); }", arguments: [{ value: turn }, { value: beat }], returnByValue: true },
        (error, answer) => {
          if (error !== null) reject(error);
          else if (answer.exceptionDetails !== undefined) reject(new Error(`watchdog: ${answer.exceptionDetails.exception?.description}`));
          else resolve(answer.result.value as Verdict);
        },
      );
    });
  }
}
