import { createHash } from "node:crypto";
import { createServer } from "node:http";

/** Any program that listens on $PORT is a function; requests reach it as they are. */
const server = createServer((request, response) => {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ method: request.method, path: request.url, from: "server-node" }));
});

/** WebSockets pass through, too. Without a library (use `ws` for more): text of up to 125 bytes is sent back. */
server.on("upgrade", (request, socket) => {
  const accept = createHash("sha1")
    .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let received = Buffer.alloc(0);
  socket.on("data", (bytes) => {
    received = Buffer.concat([received, bytes]);
    for (let frame = readFrame(received); frame; frame = readFrame(received)) {
      received = received.subarray(frame.length);
      if (!frame.isText) return socket.end();
      socket.write(Buffer.concat([Buffer.from([0x81, frame.text.length]), frame.text]));
    }
  });
  socket.on("error", () => socket.destroy());
});

/** One short frame of a client (RFC 6455, 5.2): two bytes of head, four of mask, then the text; else undefined. */
function readFrame(bytes) {
  if (bytes.length < 6) return undefined;
  const size = bytes[1] & 0x7f;
  if (size > 125) return { isText: false, length: bytes.length };
  if (bytes.length < 6 + size) return undefined;
  const text = bytes.subarray(6, 6 + size).map((byte, at) => byte ^ bytes[2 + (at % 4)]);
  return { isText: bytes[0] === 0x81, text, length: 6 + size };
}

server.listen(process.env.PORT);
