// An echo server that speaks to fleetiq-wrap. Run: node echo_server.js PORT
const net = require('net');
const readline = require('readline');

const server = net.createServer({ allowHalfOpen: true }, (player) => {
  player.on('error', () => player.destroy());
  player.pipe(player);
});

server.listen(Number(process.argv[2]), '127.0.0.1', () => {
  if (!process.env.FLEETIQ_SOCKET) return;
  const wrap = net.connect(process.env.FLEETIQ_SOCKET);
  wrap.write('{"event": "ready"}\n');
  readline.createInterface({ input: wrap }).on('line', (line) => {
    console.log('event:', line);
    if (JSON.parse(line).event === 'stop') process.exit(0);
  });
});
