// For the ES modules of this folder; the rest of the runtime is CommonJS because that loads faster.
export { logError, patchConsole, setRequestId } from "./log.cjs";
