import type { ErrorCode } from "../../core/errors.ts";
import type { OperationName, Operations } from "./operations.ts";

/** What the writer's thread is told; it answers a `write` with one `Reply` per request, in order. */
export type WriterMessage =
  | { readonly kind: "write"; readonly requests: readonly WriteRequest[] }
  | { readonly kind: "close" };

export type WriteRequest = {
  [N in OperationName]: { readonly name: N; readonly args: Operations[N]["args"] };
}[OperationName];

export type Reply =
  | { readonly isDone: true; readonly value: unknown }
  | { readonly isDone: false; readonly code: ErrorCode; readonly message: string };
