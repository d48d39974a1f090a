/** What the daemon asks of its agent in a rootless engine's network (namespace-agent.ts), and what it hears. */
export type ToAgent = {
  readonly type: "listen" | "connect";
  readonly id: number;
  readonly address: string;
  readonly port: number;
};

/** `done` comes with the listener or the connection as its handle. */
export type FromAgent =
  | { readonly type: "up" }
  | { readonly type: "done"; readonly id: number }
  | { readonly type: "failed"; readonly id: number; readonly code: string; readonly message: string };
