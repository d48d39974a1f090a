// For the ES modules of this folder; the rest of the runtime is CommonJS because that loads faster.
export { errorPayload, RuntimeError, UnhandledPromiseRejection } from "./errors.cjs";
