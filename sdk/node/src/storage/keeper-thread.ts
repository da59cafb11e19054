/*
 * A thread that is the keeper and nothing else: the entry of a worker.
 */

import { parentPort } from "node:worker_threads";
import { serveKeeper } from "./keeper.ts";

if (parentPort === null) throw new Error("keeper-thread.ts is to be run as a worker");
serveKeeper(parentPort);
