/**
 * Types of a lifecycle module, for `import type { Context, Init, Run, Stop } from "lambdad"`:
 *
 *   export const start = async () => ({ requests: 0 });
 *   export const run: Run<Context<typeof start>> = (context, request, response) => {
 *     response.end(`${++context.requests}\n`);
 *   };
 *
 * Only `run` must be there. There is nothing to import at run time.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

/** What `init` is told. */
export interface InitInfo {
  /** Name of the function; of the executable, where it was made by `lambda bundle`. */
  readonly functionName: string;
  /** Version of the function, `$LATEST` or a number; of package.json in an executable. */
  readonly functionVersion: string;
  /** How many contexts there may be at the same time. */
  readonly slots: number;
}

/** Once per instance, before anything else; no request is served until it has resolved. */
export type Init = (info: InitInfo) => unknown;

/** Makes a context. Called when a request finds none free; what it throws is answered with status 500. */
export type Start<C = unknown> = () => C | Promise<C>;

/** What a `start` makes: `Context<typeof start>`. It belongs to one request at a time. */
export type Context<S extends (...none: never[]) => unknown = Start> = Awaited<ReturnType<S>>;

/** Serves one request. The context is free again when it has returned and the response is over. */
export type Run<C = unknown> = (context: C, request: IncomingMessage, response: ServerResponse) => unknown;

/** Ends a context that has been idle for half a minute, or whose program ends. */
export type Stop<C = unknown> = (context: C) => unknown;
