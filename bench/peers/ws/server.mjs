// What a person would otherwise write: the package ws on Node, with the same
// answers as bench/worker. Prints the port it took. Its argument is the folder
// whose node_modules has ws.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const { WebSocketServer } = createRequire(`${process.argv[2]}/`)('ws');

const rooms = new Map();

const handlers = {
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
	response.writeHead(request.url === '/ready' ? 200 : 404).end();
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });

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
