/**
 * A store whose calls work and then say that they timed out, as those of a disk, or of a server, may: what was asked
 * for has happened, and whoever asked must neither lose it nor do it twice. Only for tests of that.
 */
import { PlatformError } from "../core/errors.ts";
import type { Store } from "./store.ts";

/** Those that wait for somebody else's change and do nothing. */
const WAITING: ReadonlySet<string> = new Set(["changed", "nextChange"]);

/** `timesOut` is asked after each call that has worked, by `port.method`. */
export function doubtful<S extends Store>(store: S, timesOut: (call: string) => boolean): S {
  const doubted = <K extends keyof Store & string>(name: K) => doubtfulPort(store[name], name, timesOut);
  const ports = {
    registry: doubted("registry"),
    keys: doubted("keys"),
    layers: doubted("layers"),
    events: doubted("events"),
    schedules: doubted("schedules"),
    rules: doubted("rules"),
    sources: doubted("sources"),
    projects: doubted("projects"),
    hooks: doubted("hooks"),
    deployments: doubted("deployments"),
    routes: doubted("routes"),
  } satisfies Omit<Store, keyof AsyncDisposable>;
  return { ...store, ...ports };
}

function doubtfulPort<T extends object>(port: T, name: string, timesOut: (call: string) => boolean): T {
  return new Proxy(port, {
    get(target, member) {
      const method: unknown = Reflect.get(target, member);
      if (typeof method !== "function" || typeof member !== "string") return method;
      return (...args: unknown[]) => {
        const answer: unknown = Reflect.apply(method, target, args);
        if (!(answer instanceof Promise) || WAITING.has(member)) return answer;
        return answer.then((value: unknown) => {
          if (timesOut(`${name}.${member}`)) throw timedOut(`${name}.${member}`);
          return value;
        });
      };
    },
  });
}

function timedOut(call: string): PlatformError {
  return new PlatformError("StoreUnavailable", `${call} timed out`);
}
