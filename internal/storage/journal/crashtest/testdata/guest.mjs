// A guest for tests: it does what it is told with databases, a line of JSON
// each way, and does not know more. A thread is the keeper.
import { DatabaseSync } from "node:sqlite";
import { createInterface } from "node:readline";
import { Worker, isMainThread, parentPort } from "node:worker_threads";

function connect(path) {
	const db = new DatabaseSync(path, { timeout: 1000 });
	db.exec("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=8");
	return db;
}

const databases = new Map(); // by path

const inMain = {
	open({ path }) {
		const db = connect(path);
		databases.set(path, db);
		const row = db.prepare("SELECT life, k FROM last").get();
		return row ?? { life: 0, k: 0 };
	},
	transact({ path, statements }) {
		const db = databases.get(path);
		db.exec("BEGIN");
		for (const { Query, Args } of statements) {
			const args = (Args ?? []).map((a) => (typeof a === "string" ? Buffer.from(a, "base64") : a));
			db.prepare(Query).run(...args);
		}
		db.exec("COMMIT");
		return {};
	},
	close({ path }) {
		databases.get(path).close();
		databases.delete(path);
		return {};
	},
};

const inKeeper = {
	hold({ path }) {
		const db = connect(path);
		db.prepare("SELECT count(*) FROM last").get(); // opens the WAL
		databases.set(path, db);
		return {};
	},
	pin({ path }) {
		const db = databases.get(path);
		db.exec("BEGIN");
		db.prepare("SELECT count(*) FROM last").get();
		return {};
	},
	move({ path }) {
		const mover = connect(path);
		const row = mover.prepare("PRAGMA wal_checkpoint(PASSIVE)").get();
		mover.close();
		databases.get(path).exec("COMMIT");
		return { frames: Math.max(0, row.checkpointed) };
	},
	unpin({ path }) {
		databases.get(path).exec("COMMIT");
		return {};
	},
	let_go: inMain.close,
};

function run(table, request) {
	try {
		return { id: request.id, ...table[request.op](request) };
	} catch (e) {
		return { id: request.id, error: String(e.stack) };
	}
}

if (isMainThread) {
	const keeper = new Worker(new URL(import.meta.url));
	const reply = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");
	keeper.on("message", reply);
	const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
	lines.on("line", (line) => {
		const request = JSON.parse(line);
		if (request.op in inMain) reply(run(inMain, request));
		else keeper.postMessage(request);
	});
	// A process that runs out of work closes its databases, and the last close
	// moves what may not be durable. So a guest never ends like that.
	const die = () => process.kill(process.pid, "SIGKILL");
	lines.on("close", die);
	process.stdout.on("error", die);
} else {
	parentPort.on("message", (request) => parentPort.postMessage(run(inKeeper, request)));
}
