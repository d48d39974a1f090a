import { connect } from "node:net";

/** A connection to the gateway on which one call after the other is made, with nothing between it and the clock. */
export interface OneConnection {
  /** The status of the answer, once all of it was read. */
  call(functionName: string): Promise<number>;
  close(): void;
}

export async function openConnection(port: number): Promise<OneConnection> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  let text = "";
  let answered: ((status: number) => void) | undefined;
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (text.length < end + 4 + length) return;
    const status = Number(text.slice(9, 12));
    text = "";
    answered?.(status);
  });
  socket.on("close", () => answered?.(0));
  socket.on("error", () => answered?.(0));
  return {
    call: (name) =>
      new Promise((resolve) => {
        answered = resolve;
        socket.write(`GET /?name=World HTTP/1.1\r\nHost: ${name}.localhost\r\n\r\n`);
      }),
    close: () => socket.destroy(),
  };
}
