// What a person would otherwise write: the package ws on Node, with the same
// answers as bench/worker. Prints the port it took. Its argument is the folder
// whose node_modules has ws.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { DatabaseSync } from 'node:sqlite';

const { WebSocketServer } = createRequire(`${process.argv[2]}/`)('ws');

const rooms = new Map();
let databases = 0;

const folder = mkdtempSync(`${tmpdir()}/bench-ws-`);
const end = () => {
	rmSync(folder, { recursive: true, force: true });
	process.exit(0);
};
process.on('SIGTERM', end).on('SIGINT', end);

/** A room's database: every commit waits for the disk, as that of an object does. */
function insertInto(number) {
	const db = new DatabaseSync(`${folder}/${number}.sqlite`);
	db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE messages (id INTEGER PRIMARY KEY, text TEXT)');
	return db.prepare('INSERT INTO messages (text) VALUES (?)');
}

const handlers = {
	Chat: (ws, data) => {
		const text = data.toString();
		ws.room.insert ??= insertInto(databases++);
		ws.room.insert.run(text);
		for (const other of ws.room) other.send(text);
	},
	Echo: (ws, data, isBinary) => ws.send(data, { binary: isBinary }),
	Broadcast: (ws, data, isBinary) => {
		for (const other of ws.room) other.send(data, { binary: isBinary });
	},
	AutoResponse: (ws, data) => {
		if (data.toString() === 'ping') ws.send('pong');
	},
	Idle: (ws) => ws.send('1'),
};

const server = createServer((request, response) => {
	if (request.url.startsWith('/http/')) return response.end('hello');
	response.writeHead(request.url === '/ready' ? 200 : 404).end();
});
const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 } });

sockets.on('connection', (ws, request) => {
	const handler = handlers[request.url.split('/')[2]];
	if (!handler) return ws.close(1008, 'no such class');
	if (!rooms.has(request.url)) rooms.set(request.url, new Set());
	ws.room = rooms.get(request.url).add(ws);
	ws.on('message', (data, isBinary) => handler(ws, data, isBinary));
	ws.on('close', () => ws.room.delete(ws));
	ws.on('error', () => {});
});

server.listen(0, '127.0.0.1', 4096, () => console.log(server.address().port));
