// Errors of the runtime itself, and how any error looks to the caller and in the log. Names and shapes are those of
// Lambda's runtimes, since callers match on them.
"use strict";

const { types } = require("node:util");

/** An error named `Runtime.TYPE`; its stack is its cause's where there is one, since that is where the fault is. */
class RuntimeError extends Error {
  /**
   * @param {string} type
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(type, message, cause) {
    super(message);
    Object.defineProperty(this, "name", { value: `Runtime.${type}`, configurable: true, writable: true });
    const below = types.isNativeError(cause) && typeof cause.stack === "string" ? cause.stack : undefined;
    if (below !== undefined) this.stack = `${this.name}: ${message}\n${below}`;
    else this.stack = `${this.name}: ${message}`;
  }
}

class UnhandledPromiseRejection extends RuntimeError {
  /**
   * @param {unknown} reason
   * @param {Promise<unknown>} promise
   */
  constructor(reason, promise) {
    super("UnhandledPromiseRejection", asText(reason), reason);
    this.reason = reason;
    this.promise = promise;
  }
}

/**
 * What the caller gets. Never throws: an error object of the function's may do anything when it is looked at.
 *
 * @param {unknown} error
 * @returns {{errorType: string, errorMessage: string, trace?: string[]}}
 */
function errorPayload(error) {
  try {
    if (!looksLikeError(error)) {
      return { errorType: typeof error, errorMessage: String(error), trace: [] };
    }
    return {
      errorType: escapeDel(String(error.name)),
      errorMessage: escapeDel(String(error.message)),
      trace: escapeDel(String(error.stack ?? "")).split("\n"),
    };
  } catch {
    return {
      errorType: "handled",
      errorMessage: "the error could not be read: its name, message or stack throws",
      trace: [],
    };
  }
}

/**
 * An error as one JSON text for a line of the log.
 *
 * @param {unknown} error
 */
function errorForLog(error) {
  const shown = types.isNativeError(error) ? error : new Error(asText(error));
  try {
    return JSON.stringify(shown, (_key, value) => (types.isNativeError(value) ? withMembers(value) : value));
  } catch {
    return JSON.stringify(errorPayload(shown));
  }
}

/** @param {Error & {code?: unknown}} error */
function withMembers(error) {
  const { name, message, code, stack } = error;
  const members = Object.assign({ errorType: name, errorMessage: message, code }, error);
  return typeof stack === "string" ? Object.assign(members, { stack: stack.split("\n") }) : members;
}

/**
 * Errors of another realm (`vm`, some test tools) are no instance of ours.
 *
 * @param {any} error
 * @returns {error is Error}
 */
function looksLikeError(error) {
  if (types.isNativeError(error)) return true;
  return (
    typeof error?.name === "string" && typeof error.message === "string" && typeof error.stack === "string"
  );
}

/** @param {unknown} value */
function asText(value) {
  try {
    return String(value);
  } catch {
    return "a value that cannot be shown";
  }
}

/** Lambda's runtimes do so, since the type goes into an HTTP header there. @param {string} text */
function escapeDel(text) {
  return text.replaceAll("\x7f", "%7F");
}

module.exports = { RuntimeError, UnhandledPromiseRejection, errorPayload, errorForLog };
