import { createServer } from "node:http";

interface Seen {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly from: string;
}

/** Any program that listens on $PORT is a function; requests reach it as they are. */
const server = createServer((request, response) => {
  const seen: Seen = { method: request.method, path: request.url, from: "server-typescript" };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(seen));
});

server.listen(process.env.PORT);
