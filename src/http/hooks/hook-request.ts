import type { InvocationId } from "../../core/ids.ts";
import type { RequestHead } from "../gateway/request-headers.ts";
import type { HttpRequest, HttpResponse } from "../message.ts";

/** A request to an address below `/_hooks/`. */
export interface HookRequest {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly head: RequestHead;
  /** With `/_hooks/`, without the query. */
  readonly path: string;
  readonly invocationId: InvocationId;
}

/** @throws PlatformError for whatever is not answered. */
export type ReceiveHook = (request: HookRequest) => Promise<void>;
