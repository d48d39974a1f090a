// The trace of the call, in `process.env` and in the environment of programs that are started.
"use strict";

const TRACE_VARIABLE = "_X_AMZN_TRACE_ID";

/** @type {string | undefined} */
let trace;

/** @param {string | undefined} traceId of the call that begins */
function setTrace(traceId) {
  trace = traceId;
}

/**
 * Makes `process.env` one that has the trace of the current call without its being set: the C library keeps every value that
 * a variable was ever given, so that each call would take memory for good, and time to look through all of it. Programs that
 * the function starts get it; what reads the C library's own environment does not. Before any code of the function runs.
 *
 * @returns the environment as it was before
 */
function offerTrace() {
  const own = process.env;
  process.env = new Proxy(own, {
    get: (env, name) => (name === TRACE_VARIABLE ? trace : Reflect.get(env, name)),
    has: (env, name) => (name === TRACE_VARIABLE ? trace !== undefined : Reflect.has(env, name)),
    set(env, name, value) {
      if (name !== TRACE_VARIABLE) return Reflect.set(env, name, value);
      trace = String(value);
      return true;
    },
    deleteProperty(env, name) {
      if (name === TRACE_VARIABLE) trace = undefined;
      return Reflect.deleteProperty(env, name);
    },
    ownKeys(env) {
      const names = Reflect.ownKeys(env);
      return trace === undefined || names.includes(TRACE_VARIABLE) ? names : [...names, TRACE_VARIABLE];
    },
    getOwnPropertyDescriptor(env, name) {
      if (name !== TRACE_VARIABLE) return Reflect.getOwnPropertyDescriptor(env, name);
      if (trace === undefined) return undefined;
      return { value: trace, writable: true, enumerable: true, configurable: true };
    },
    defineProperty(env, name, descriptor) {
      if (name !== TRACE_VARIABLE) return Reflect.defineProperty(env, name, descriptor);
      trace = String(descriptor.value);
      return true;
    },
  });
  return own;
}

module.exports = { offerTrace, setTrace };
