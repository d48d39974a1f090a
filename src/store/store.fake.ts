import { systemClock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord, LayerVersion, Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import { fakeEvents } from "./event-queue.fake.ts";
import { fakeHooks } from "./hooks.fake.ts";
import { fakeProjects } from "./projects.fake.ts";
import { fakeRoutes } from "./routes.fake.ts";
import { fakeSchedules } from "./schedules.fake.ts";
import { fakeSources } from "./sources.fake.ts";
import type { KeyRecord, KeyStore, Layers, Registry, Store } from "./store.ts";

/** A store in memory, for tests. Values are copied on the way in and out, as a database does. */
export function fakeStore(): Store {
  const layers = fakeLayers();
  const registry = fakeRegistry(layers.all);
  const events = fakeEvents(systemClock);
  const isFunction = async (name: FunctionName) => (await registry.findFunction(name)) !== undefined;
  const schedules = fakeSchedules(events, isFunction);
  const { hooks, deployments, functionDeleted } = fakeHooks(
    events,
    async (name) => (await registry.findFunction(name)) !== undefined,
  );
  const routes = fakeRoutes(isFunction);
  const sources = fakeSources(isFunction);
  return {
    registry: {
      ...registry,
      async deleteFunction(name) {
        functionDeleted(name);
        return await registry.deleteFunction(name);
      },
    },
    events,
    hooks,
    deployments,
    schedules,
    rules: schedules.rules,
    sources,
    projects: fakeProjects(registry, schedules, routes, hooks, sources),
    routes,
    keys: fakeKeys(),
    layers,
    async [Symbol.asyncDispose]() {},
  };
}

export function fakeRegistry(layerVersions: () => readonly LayerVersion[] = () => []): Registry {
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
      const uses = all().flatMap(({ config }) => config.layers);
      const codes = [...all(), ...uses, ...layerVersions()].map(({ code }) => code);
      const merged = all().flatMap(({ config }) => config.optTreeId ?? []);
      return {
        treeIds: new Set([...codes.map(({ treeId }) => treeId), ...merged]),
        archives: new Set(codes.map(({ archiveSha256 }) => archiveSha256)),
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

function fakeLayers(): Layers & { readonly all: () => readonly LayerVersion[] } {
  const newest = new Map<string, number>();
  let versions: LayerVersion[] = [];
  return {
    all: () => versions,
    async publish(layer) {
      const number = (newest.get(layer.layerName) ?? 0) + 1;
      newest.set(layer.layerName, number);
      versions.push(structuredClone({ ...layer, number }));
      return number;
    },
    async findVersion(layerName, number) {
      return structuredClone(versions.find((each) => each.layerName === layerName && each.number === number));
    },
    async listVersions(layerName, { before, limit }) {
      const found = versions.filter(
        (each) => each.layerName === layerName && (before === undefined || each.number < before),
      );
      return structuredClone(found.sort((a, b) => b.number - a.number).slice(0, limit));
    },
    async listNames({ after, limit }) {
      const names = [...new Set(versions.map(({ layerName }) => layerName))].sort();
      return names.filter((name) => after === undefined || name > after).slice(0, limit);
    },
    async deleteVersion(layerName, number) {
      const kept = versions.filter((each) => each.layerName !== layerName || each.number !== number);
      const wasThere = kept.length < versions.length;
      versions = kept;
      return wasThere;
    },
  };
}
