// What a person would otherwise write for speed: Bun's own server, with the same
// answers as bench/worker. Prints the port it took.

const handlers = {
	Echo: (ws, data) => ws.send(data),
	Broadcast: (ws, data) => server.publish(ws.data.room, data),
	AutoResponse: (ws, data) => data === 'ping' && ws.send('pong'),
	Idle: (ws) => ws.send('1'),
};

const server = Bun.serve({
	port: 0,
	hostname: '127.0.0.1',
	fetch(request, server) {
		const path = new URL(request.url).pathname;
		if (path === '/ready') return new Response('ready');
		if (path.startsWith('/http/')) return new Response('hello');
		const handler = handlers[path.split('/')[2]];
		if (handler && server.upgrade(request, { data: { handler, room: path } })) return;
		return new Response('no such class', { status: 404 });
	},
	websocket: {
		idleTimeout: 0,
		perMessageDeflate: true,
		open: (ws) => ws.subscribe(ws.data.room),
		message: (ws, data) => ws.data.handler(ws, data),
	},
});

console.log(server.port);
