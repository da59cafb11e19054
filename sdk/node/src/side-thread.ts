/*
 * The second thread of a guest: the keeper of the databases, and the watchdog of
 * the first one if it is to be watched.
 */

import { parentPort, workerData } from "node:worker_threads";
import { serveKeeper } from "./storage/keeper.ts";
import { serveWatchdog, type Watch } from "./watchdog.ts";

if (parentPort === null) throw new Error("side-thread.ts is to be run as a worker");
serveKeeper(parentPort);
if (workerData !== null) void serveWatchdog(workerData as Watch);
