/*
 * Channel is descriptor 3: bytes in, cut into frames; one buffer of frames out.
 *
 * A batch is what one read brought. Its cursor lives here and not on the stack,
 * because ending an instance (ctx.abort) throws the whole stack away: `cut`
 * saves what is left, and `resume` goes on with it. So does a batch that pauses
 * because its turns take long: what has come in the meantime is looked through,
 * and messages for quick objects go first, as long as nothing but messages for
 * others stands before them.
 */

import { Buffer } from "node:buffer";
import fs from "node:fs";
import net from "node:net";
import type { Outlet } from "./outlet.ts";
import { nativeSetImmediate } from "./native.ts";
import { frame, maxFrame, ProtocolError, Reader } from "./wire.ts";

/** What the channel calls. */
export interface Receiver {
  /** One frame; `r` is borrowed. */
  frame(type: number, r: Reader): void;
  /** A batch is about to be handled. */
  batchBegin(): void;
  /** All frames that one mark covers have been handled, and there are more: write what they made. */
  runEnd(): void;
  /** A batch has been handled: write what it made. */
  batchEnd(): void;
  /** Whether the batch should pause. */
  readonly due: boolean;
  /** The batch pauses; and goes on. */
  batchPause(): void;
  batchResume(): void;
  /** In a batch that goes on: messages may be offered out of their turn. Pairs with `aheadEnd`. */
  aheadBegin(): void;
  /** A message, the host's frame of that number, where so many have been handled. `r` is borrowed. */
  ahead(r: Reader, number: number, handled: number): Offered;
  aheadEnd(): void;
  /** The stream has ended, or cannot be trusted. */
  lost(reason: string): void;
}

/** What became of a message that was offered out of its turn: it was handled; it comes in its turn; so does it, and all behind it. */
export const ahead = { done: 0, passed: 1, stop: 2 } as const;
export type Offered = (typeof ahead)[keyof typeof ahead];

/** Stands in place of the type of a frame that has been handled out of its turn. */
const taken = 0;

/** The descriptor of the marks, and how many frames one mark may cover. */
const marksFd = 4;
const marksAhead = 16;

/** While more than this waits to be written, nothing is read. */
const maxBacklog = 4 << 20;
/** While more than this does, those who bring bytes from elsewhere stop. Less than above: what the host says of clients that do not read has to arrive. */
const muchBacklog = 1 << 20;
const chunkSize = 1 << 20;
/** While more than this waits for turns, nothing is read; and a batch does not pause, for what it leaves is copied. */
const maxWaiting = 64 << 10;
/** A larger buffer is not kept when nothing waits in it. */
const maxOwn = 1 << 20;

export class Channel {
  readonly #fd: number;
  readonly #receiver: Receiver;
  readonly #socket: net.Socket;
  readonly #reader = new Reader();

  // The batch in progress: frames of #chunk from #at to #end. Invariants: #at
  // stands behind the frame that is being handled; between batches #at < #end only
  // if #chunk is #own and `resume` will be called.
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  /** Where what waits between batches stands. Everything read later goes behind it. */
  #own: Buffer = Buffer.alloc(0);
  #goesOn = false; // an immediate will resume

  // Up to where frames have been offered out of their turn, and how many that
  // is of all. Invariant: from #at to there are messages only, and taken ones.
  #offered = 0;
  #offeredFrames = 0;

  // The beginning of a frame whose end has not come. Invariant: 0 < length < the
  // frame's own length, or null.
  #partial: Buffer | null = null;
  #partialLength = 0;

  // Frames of the host that have begun to be handled; up to which one they are
  // marked outside this process; and how many the host was told of.
  #begun = 0;
  #marked = Infinity;
  #told = 0;
  readonly #mark = Buffer.alloc(8);

  #backlog = 0;
  #paused = false;
  readonly #waiting = new Set<() => void>(); // for little to wait

  constructor(fd: number, receiver: Receiver) {
    this.#fd = fd;
    this.#receiver = receiver;
    const buffer = Buffer.allocUnsafeSlow(chunkSize);
    this.#socket = new net.Socket({
      fd,
      readable: true,
      writable: true,
      allowHalfOpen: true,
      onread: {
        buffer,
        callback: (n: number, from: Uint8Array) => {
          this.#read(from as Buffer, n);
          return true;
        },
      },
    } as net.SocketConstructorOpts);
    this.#socket.on("end", () => receiver.lost(""));
    this.#socket.on("close", () => receiver.lost(""));
    this.#socket.on("error", (e) => receiver.lost(e.message));
  }

  /** From now on frames are marked before they are handled; docs/guest-protocol.md, "Marks". */
  keepMarks(): void {
    this.#marked = this.#told = this.#begun;
  }

  /** Raises the mark over the frames that have been read, from the one at `at`. */
  #raise(at: number): void {
    const chunk = this.#chunk;
    let n = 0;
    while (n < marksAhead && this.#end - at >= 4) {
      at += 4 + chunk.readUInt32LE(at);
      if (at > this.#end) break;
      n++;
    }
    this.#marked = this.#begun + Math.max(n, 1);
    this.#mark.writeUInt32LE(this.#marked >>> 0, 0);
    this.#mark.writeUInt32LE(Math.floor(this.#marked / 0x100000000), 4);
    fs.writeSync(marksFd, this.#mark, 0, 8, 0);
  }

  #read(from: Buffer, n: number): void {
    if (this.#at === this.#end) this.#batch(from, n);
    else this.#append(from, n);
  }

  /** Puts what has been read behind what waits. */
  #append(from: Buffer, n: number): void {
    const left = this.#end - this.#at;
    if (this.#own.length - this.#end < n) {
      const old = this.#own;
      this.#makeRoom(left + n);
      old.copy(this.#own, 0, this.#at, this.#end);
      this.#offered -= this.#at;
      this.#chunk = this.#own;
      this.#at = 0;
      this.#end = left;
    }
    from.copy(this.#own, this.#end, 0, n);
    this.#end += n;
    this.#readOrNot();
  }

  /** Keeps what has not been handled between two batches. */
  #keep(): void {
    if (this.#chunk === this.#own) return;
    const left = this.#end - this.#at;
    this.#makeRoom(left);
    this.#chunk.copy(this.#own, 0, this.#at, this.#end);
    this.#chunk = this.#own;
    this.#offered = this.#at = 0;
    this.#offeredFrames = this.#begun;
    this.#end = left;
  }

  #makeRoom(n: number): void {
    if (this.#own.length < n) this.#own = Buffer.allocUnsafeSlow(Math.max(2 * n, maxWaiting));
  }

  /** Called in a macrotask of its own after `cut`; and after a pause. */
  resume(): void {
    this.#handle(true);
  }

  /**
   * The stack is about to be thrown away. What of the batch has not been
   * handled is kept; the caller arranges for `resume`.
   */
  cut(): void {
    this.#goesOn = false; // immediates do not survive it
    if (this.#at < this.#end) this.#keep();
  }

  #batch(chunk: Buffer, n: number): void {
    this.#chunk = chunk;
    this.#offered = this.#at = 0;
    this.#offeredFrames = this.#begun;
    this.#end = n;
    this.#handle(false);
  }

  #handle(resumed: boolean): void {
    const first = this.#begun;
    try {
      if (resumed) {
        this.#receiver.batchResume();
        this.#lookAhead();
      } else {
        this.#receiver.batchBegin();
        if (this.#partial !== null) this.#finishPartial();
      }
      if (this.#frames(first)) {
        this.#receiver.batchEnd();
        if (this.#own.length > maxOwn) this.#own = Buffer.alloc(0);
      } else {
        this.#keep();
        this.#receiver.batchPause();
        this.#goOn();
      }
      this.#readOrNot();
    } catch (e) {
      this.#receiver.lost(e instanceof ProtocolError ? e.message : `internal error: ${(e as Error)?.stack ?? String(e)}`);
    }
  }

  /** Resumes when the event loop has come round. */
  #goOn(): void {
    if (this.#goesOn) return;
    this.#goesOn = true;
    nativeSetImmediate(() => {
      if (!this.#goesOn) return;
      this.#goesOn = false;
      this.resume();
    });
  }

  /** Offers what has come since the last time out of its turn, up to the first frame that is no message. */
  #lookAhead(): void {
    const reader = this.#reader;
    if (this.#offered < this.#at) {
      this.#offered = this.#at;
      this.#offeredFrames = this.#begun;
    }
    if (this.#end - this.#offered < 5) return;
    // What dies with us is one run at most, of those that are marked and those that go first together.
    if (this.#marked - this.#told === marksAhead) this.#receiver.runEnd();
    let room = this.#marked === Infinity ? Infinity : marksAhead - (this.#marked - this.#told);
    let any = false;
    this.#receiver.aheadBegin();
    while (room > 0) {
      const chunk = this.#chunk;
      const at = this.#offered;
      const have = this.#end - at;
      if (have < 5) break;
      const length = chunk.readUInt32LE(at);
      if (have < 4 + length || chunk[at + 4] !== frame.message) break;
      // The turn may be cut, and then the frame has been handled.
      chunk[at + 4] = taken;
      this.#offered = at + 4 + length;
      this.#offeredFrames++;
      reader.reset(chunk, at + 5, this.#offered);
      reader.own = false;
      const became = this.#receiver.ahead(reader, this.#offeredFrames, this.#begun);
      if (became === ahead.done) {
        any = true;
        room--;
        continue;
      }
      chunk[at + 4] = frame.message;
      if (became === ahead.stop) {
        this.#offered = at;
        this.#offeredFrames--;
        break;
      }
    }
    if (any) this.#receiver.runEnd();
    this.#receiver.aheadEnd();
  }

  /** Handles what there is. False: it should pause, and there is more. */
  #frames(first: number): boolean {
    const reader = this.#reader;
    for (;;) {
      const chunk = this.#chunk;
      const at = this.#at;
      const have = this.#end - at;
      if (have < 4) {
        this.#keepPartial(4);
        return true;
      }
      const length = chunk.readUInt32LE(at);
      checkLength(length);
      if (have < 4 + length) {
        this.#keepPartial(4 + length);
        return true;
      }
      const end = at + 4 + length;
      this.#at = end;
      if (this.#begun >= this.#marked) {
        // What dies with us is one run at most, and not all that was read.
        if (this.#begun !== first) this.#receiver.runEnd();
        this.#raise(at);
      }
      this.#begun++;
      const type = chunk[at + 4]!;
      if (type === taken && at < this.#offered) continue;
      reader.reset(chunk, at + 5, end);
      reader.own = false;
      this.#receiver.frame(type, reader);
      // Not between a frame and what is said about it in front of it.
      if (type === frame.message && this.#receiver.due && this.#mayPause()) return false;
    }
  }

  /** Whether there is another whole frame, and not too much. */
  #mayPause(): boolean {
    const left = this.#end - this.#at;
    return left >= 4 && left <= maxWaiting && left >= 4 + this.#chunk.readUInt32LE(this.#at);
  }

  /** Keeps the tail of the chunk, in a buffer that has room for `want` bytes. */
  #keepPartial(want: number): void {
    const have = this.#end - this.#at;
    if (have === 0) return;
    const partial = Buffer.allocUnsafeSlow(want);
    this.#chunk.copy(partial, 0, this.#at, this.#end);
    this.#partial = partial;
    this.#partialLength = have;
    this.#at = this.#end;
  }

  #finishPartial(): void {
    let partial = this.#partial!;
    for (;;) {
      const take = Math.min(partial.length - this.#partialLength, this.#end - this.#at);
      this.#chunk.copy(partial, this.#partialLength, this.#at, this.#at + take);
      this.#partialLength += take;
      this.#at += take;
      if (this.#partialLength < partial.length) return; // The chunk is used up.
      const whole = 4 + partial.readUInt32LE(0);
      checkLength(whole - 4);
      if (partial.length >= whole) break;
      // Only the length was known to be missing; now the rest is.
      const bigger = Buffer.allocUnsafeSlow(whole);
      partial.copy(bigger, 0, 0, this.#partialLength);
      this.#partial = partial = bigger;
    }
    this.#partial = null;
    if (this.#begun >= this.#marked) this.#raise(this.#end); // This one alone.
    this.#begun++;
    this.#reader.reset(partial, 5, partial.length);
    this.#reader.own = true;
    this.#receiver.frame(partial[4]!, this.#reader);
  }

  /**
   * Writes everything that `out` holds and empties it. Never waits. Between two
   * turns, never within one: with marks, it says that what has begun is handled.
   */
  write(out: Outlet): void {
    if (this.#marked !== Infinity && this.#told !== this.#begun) {
      this.#told = this.#begun;
      out.handled(this.#begun);
    }
    out.settle();
    if (out.at === 0) return;
    let written = 0;
    if (this.#backlog === 0) {
      try {
        written = fs.writeSync(this.#fd, out.buffer, 0, out.at);
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code !== "EAGAIN") {
          this.#receiver.lost(`write: ${(e as Error).message}`);
          return;
        }
      }
    }
    if (written < out.at) {
      const rest = out.rest(written);
      this.#backlog += rest.length;
      this.#socket.write(rest, () => this.#written(rest.length));
      this.#readOrNot();
    }
    out.clear();
  }

  /** Stops reading while much waits, here or there, and begins again when little does. */
  #readOrNot(): void {
    const waits = this.#end - this.#at;
    if (this.#paused) {
      if (this.#backlog > maxBacklog / 2 || waits > maxWaiting / 2) return;
      this.#paused = false;
      this.#socket.resume();
    } else if (this.#backlog > maxBacklog || waits > maxWaiting) {
      this.#paused = true;
      this.#socket.pause();
    }
  }

  #written(n: number): void {
    this.#backlog -= n;
    this.#readOrNot();
    if (this.#waiting.size === 0 || this.#backlog > muchBacklog / 2) return;
    const relieved = [...this.#waiting];
    this.#waiting.clear();
    for (const f of relieved) f();
  }

  /** Much waits to be written. */
  get crowded(): boolean {
    return this.#backlog > muchBacklog;
  }

  /** Calls `f` once when little waits again. While it is crowded. */
  whenRelieved(f: () => void): void {
    this.#waiting.add(f);
  }

  /** Calls back when everything has been handed to the kernel. */
  end(then: () => void): void {
    this.#socket.end(then);
  }
}

function checkLength(length: number): void {
  if (length < 1 || length > maxFrame) throw new ProtocolError(`frame of ${length} bytes`);
}
