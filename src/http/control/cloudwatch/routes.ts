/**
 * CloudWatch as people's tools call it (`aws logs tail`, `sam logs`): one address for all operations. Which one is meant
 * stands in `X-Amz-Target` (JSON), or in a form (`Action`, the protocol of older clients for metrics).
 */
import type { Route } from "../route.ts";

const REQUEST_BYTES_MAX = 1024 * 1024;

/** Operations that change something ask for more than the route's scope themselves. */
export const CLOUDWATCH_ROUTES: readonly Route[] = [
  {
    name: "cloudWatch",
    dialect: "cloudwatch",
    method: "POST",
    path: "/",
    access: "read",
    subject: "none",
    body: { kind: "bytes", bytesMax: REQUEST_BYTES_MAX },
  },
];
