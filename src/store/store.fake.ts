import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord, Version } from "../core/function.ts";
import type { KeyRecord, KeyStore, Registry, Store } from "./store.ts";

/** A store in memory, for tests. Values are copied on the way in and out, as a database does. */
export function fakeStore(): Store {
  return { registry: fakeRegistry(), keys: fakeKeys(), async [Symbol.asyncDispose]() {} };
}

export function fakeRegistry(): Registry {
  const functions = new Map<string, FunctionRecord>();
  const versions = new Map<string, Map<number, Version>>();

  const sorted = () => [...functions.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const versionsOf = (name: string) => versions.get(name) ?? new Map<number, Version>();
  const all = () => [
    ...[...functions.values()].map(({ latest }) => latest),
    ...[...versions.values()].flatMap((numbered) => [...numbered.values()]),
  ];

  return {
    async findFunction(name) {
      return structuredClone(functions.get(name));
    },
    async listFunctions({ after, limit }) {
      const page = sorted().filter(({ name }) => after === undefined || name > after);
      return structuredClone(page.slice(0, limit));
    },
    async countFunctions() {
      return functions.size;
    },
    async saveFunction(record, publish) {
      const stored = functions.get(record.name);
      refuse(record, stored);
      for (const { urlId } of record.urls) {
        const owner = [...functions.values()].find(({ urls }) => urls.some((url) => url.urlId === urlId));
        if (owner && owner.name !== record.name) {
          throw new PlatformError("ResourceConflict", `URL id "${urlId}" belongs to another function`);
        }
      }
      const numbered = new Map(versionsOf(record.name));
      if (publish) {
        const number = Number(publish.label);
        if (numbered.has(number)) {
          throw new PlatformError("ResourceConflict", `version ${number} exists already`);
        }
        numbered.set(number, structuredClone(publish));
      }
      versions.set(record.name, numbered);
      functions.set(record.name, structuredClone(record));
    },
    async deleteFunction(name) {
      versions.delete(name);
      return functions.delete(name);
    },
    async findVersion(name, number) {
      return structuredClone(versionsOf(name).get(number));
    },
    async listVersions(name, { after, limit }) {
      const page = [...versionsOf(name)].filter(([number]) => number > after).sort(([a], [b]) => a - b);
      return structuredClone(page.slice(0, limit).map(([, version]) => version));
    },
    async deleteVersion(name, number) {
      return versionsOf(name).delete(number);
    },
    async findFunctionByUrlId(urlId) {
      return structuredClone(sorted().find(({ urls }) => urls.some((url) => url.urlId === urlId)));
    },
    async codeInUse() {
      return {
        treeIds: new Set(all().map(({ code }) => code.treeId)),
        archives: new Set(all().map(({ code }) => code.archiveSha256)),
      };
    },
  };
}

function refuse(record: FunctionRecord, stored: FunctionRecord | undefined): void {
  const { name, generation } = record;
  if (generation === 1 && stored) throw new PlatformError("FunctionExists", `function "${name}" exists`);
  if (generation > 1 && !stored) throw new PlatformError("FunctionNotFound", `function "${name}" is gone`);
  if (generation > 1 && stored?.generation !== generation - 1) {
    throw new PlatformError("ResourceConflict", `function "${name}" was changed meanwhile`);
  }
}

function fakeKeys(): KeyStore {
  const keys = new Map<string, KeyRecord>();
  return {
    async findKey(id) {
      return structuredClone(keys.get(id));
    },
    async listKeys() {
      return structuredClone([...keys.values()].sort((a, b) => (a.id < b.id ? -1 : 1)));
    },
    async saveKey(key) {
      keys.set(key.id, structuredClone(key));
    },
  };
}
