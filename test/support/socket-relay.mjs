// Hands messages between its parent and a WebSocket, which Node 20 has only under a flag: `node --experimental-websocket socket-relay.mjs URL`.

const socket = new WebSocket(process.argv[2]);
socket.onopen = () => process.send({ open: true });
socket.onmessage = ({ data }) => process.send({ data });
socket.onclose = () => process.exit();
process.on('message', (text) => socket.send(text));
process.on('disconnect', () => process.exit());
