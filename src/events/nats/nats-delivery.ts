import { jetstream } from "@nats-io/jetstream";
import { connect, NoRespondersError } from "@nats-io/transport-node";
import type { Deliver } from "../http-delivery.ts";
import { encryption } from "./nats-queue.ts";

const TIMEOUT_MS = 10_000;

/**
 * Tells a subject of NATS what became of an event: `nats://HOST:PORT/SUBJECT`. A stream has to have the subject, since only a
 * stream says that it has a message; the id of the delivery is the message's, so that a stream drops repetitions.
 */
export const deliverToNats: Deliver = async ({ id, url, body }, { signal }) => {
  const { protocol, host, pathname } = new URL(url);
  try {
    const servers = `${protocol}//${host}`;
    const connection = await connect({
      servers,
      name: "lambdad",
      timeout: TIMEOUT_MS,
      reconnect: false,
      ...encryption([servers]),
    });
    try {
      const subject = decodeURIComponent(pathname.slice(1));
      await jetstream(connection, { timeout: TIMEOUT_MS }).publish(subject, body, { msgID: id });
    } finally {
      await connection.close();
    }
    return { kind: "delivered", status: 200 };
  } catch (error) {
    if (signal.aborted) return { kind: "released" };
    if (error instanceof NoRespondersError || String(error).includes("no responders")) {
      const message = `no stream at ${host} has the subject of ${url}; make one`;
      return { kind: "setback", outcome: "refused", error: { type: "DeliveryRefused", message } };
    }
    const message = error instanceof Error ? error.message : String(error);
    return { kind: "setback", outcome: "unavailable", error: { type: "DeliveryFailed", message } };
  }
};
