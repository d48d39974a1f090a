/** Projects and their releases. */
import { rm } from "node:fs/promises";
import { PlatformError } from "../../../core/errors.ts";
import { FUNCTION_NAME_RULE, parseFunctionName } from "../../../core/ids.ts";
import type { Release } from "../../../core/release.ts";
import type { ProjectBook } from "../../../registry/projects.ts";
import { type ControlParts, FUNCTION_DELETED } from "../parts.ts";
import { type ControlRequest, type Handler, jsonReply, type Reply } from "../route.ts";
import { refuseOthers } from "./asked-function.ts";
import { progressReply, requireUpload } from "./build-answer.ts";
import type { BuildSecrets } from "./build-secrets.ts";
import { imagesOf } from "./deploy.ts";
import { newProjectBuilds, type ProjectBuilds } from "./project-builds.ts";
import { differenceShape, hookNewsShape, projectShape, releaseShape } from "./project-shapes.ts";
import { parseSwitchRelease, projectOf, releaseNumberOf } from "./project-wire.ts";
import { endReleaseCanary, getReleaseCanary } from "./release-canaries.ts";
import { makeRelease } from "./releases.ts";
import { getReleaseShadow, stopReleaseShadow } from "./shadows.ts";
import { BuildOptions, optionsOf, parse, parsePage, prepareOf, wholeNumber } from "./wire.ts";

export type ProjectOperation =
  | "listProjects"
  | "getProject"
  | "deleteProject"
  | "buildForProject"
  | "makeRelease"
  | "listReleases"
  | "getRelease"
  | "compareReleases"
  | "switchRelease"
  | "getReleaseCanary"
  | "promoteReleaseCanary"
  | "abortReleaseCanary"
  | "getReleaseShadow"
  | "stopReleaseShadow";

export function projectHandlers(
  parts: ControlParts,
  book: ProjectBook,
  secrets: BuildSecrets,
): Readonly<Record<ProjectOperation, Handler>> {
  const builds = newProjectBuilds(() => parts.clock.now());
  return {
    async listProjects({ query }) {
      const { after, limit } = parsePage(query);
      const found = await book.list({ after, limit: limit + 1 });
      const shown = found.slice(0, limit);
      return jsonReply(200, {
        projects: shown.map(projectShape),
        next: found.length > limit ? shown.at(-1)?.name : undefined,
      });
    },
    async getProject(request) {
      const name = projectOf(request);
      const project = await book.get(name);
      const [latest] = await book.listReleases(name, { before: undefined, limit: 1 });
      const { liveRelease } = project;
      const live = liveRelease === undefined ? undefined : await book.getRelease(name, liveRelease);
      const shape = (release: Release | undefined) => release && releaseShape(release, project, parts);
      return jsonReply(200, { ...projectShape(project), live: shape(live), latest: shape(latest) });
    },
    async deleteProject(request) {
      const name = projectOf(request);
      await refuseOthersOf(book, request);
      const deleted = await book.remove(name);
      await parts.shadows.forget(`@${name}`);
      for (const functionName of deleted) {
        await parts.ledger.cancelAll(functionName, FUNCTION_DELETED);
        await parts.records.forget(functionName);
      }
      return jsonReply(200, { functions: deleted });
    },
    buildForProject: (request) => buildForProject(parts, { builds, secrets }, request),
    makeRelease: (request) => makeRelease(parts, book, builds, request),
    async listReleases(request) {
      const name = projectOf(request);
      const { limit } = parsePage(request.query);
      const before = wholeNumber(request.query, "before", 1, Number.MAX_SAFE_INTEGER);
      const project = await book.get(name);
      const found = await book.listReleases(name, { before, limit: limit + 1 });
      const shown = found.slice(0, limit);
      return jsonReply(200, {
        releases: shown.map((release) => releaseShape(release, project, parts)),
        next: found.length > limit ? shown.at(-1)?.number : undefined,
      });
    },
    async getRelease(request) {
      const name = projectOf(request);
      const project = await book.get(name);
      const release = await book.getRelease(name, releaseNumberOf(request.params.number));
      const before = await releaseBefore(book, release);
      return jsonReply(200, {
        ...releaseShape(release, project, parts),
        difference: differenceShape(await book.compare(before, release)),
        environment: await variableNames(parts, release),
      });
    },
    async compareReleases(request) {
      const name = projectOf(request);
      const older = await book.getRelease(name, releaseNumberOf(request.params.number));
      const newer = await book.getRelease(name, releaseNumberOf(request.params.other));
      return jsonReply(200, {
        from: older.number,
        to: newer.number,
        difference: differenceShape(await book.compare(older, newer)),
      });
    },
    getReleaseCanary: (request) => getReleaseCanary(parts, book, request),
    promoteReleaseCanary: (request) => endReleaseCanary(parts, book, request, "promoted"),
    abortReleaseCanary: (request) => endReleaseCanary(parts, book, request, "aborted"),
    getReleaseShadow: (request) => getReleaseShadow(parts, book, request),
    stopReleaseShadow: (request) => stopReleaseShadow(parts, book, request),
    async switchRelease(request) {
      const name = projectOf(request);
      const { to, by } = parseSwitchRelease(request);
      await refuseOthersOf(book, request);
      const { from, release, hookNews } = await book.switchTo(name, to, by);
      return jsonReply(200, {
        from,
        to: release.number,
        release: releaseShape(release, await book.get(name), parts),
        hooks: hookNews.map((news) => hookNewsShape(news, parts)),
      });
    },
  };
}

/** What it was made over, as far as that is still known. */
async function releaseBefore(
  book: ProjectBook,
  { project, madeOver }: Release,
): Promise<Release | undefined> {
  if (madeOver === undefined) return undefined;
  const found = await book.listReleases(project, { before: madeOver + 1, limit: 1 });
  return found.find(({ number }) => number === madeOver);
}

/** Names only: values may be secrets. */
async function variableNames(parts: ControlParts, { functions }: Release): Promise<Record<string, string[]>> {
  const entries = functions.map(async ({ name, version }): Promise<[string, string[]]> => {
    const found = await parts.projects.registry.findVersion(name, version);
    return [name, Object.keys(found?.config.environment ?? {}).sort()];
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** A key must be good for all functions of the live release. */
async function refuseOthersOf(book: ProjectBook, request: ControlRequest): Promise<void> {
  const { name, liveRelease } = await book.get(projectOf(request));
  if (liveRelease === undefined) return;
  const live = await book.getRelease(name, liveRelease);
  for (const released of live.functions) refuseOthers(request, released.name);
}

/** Makes code runnable, for a release that is made later; changes nothing else. */
async function buildForProject(
  parts: ControlParts,
  { builds, secrets }: { readonly builds: ProjectBuilds; readonly secrets: BuildSecrets },
  request: ControlRequest,
): Promise<Reply> {
  const project = projectOf(request);
  const name = parseFunctionName(request.params.function ?? "");
  if (!name) throw new PlatformError("InvalidName", `function name: expected ${FUNCTION_NAME_RULE}`);
  refuseOthers(request, name);
  const given = parse(BuildOptions, optionsOf(request.query.get("options")), "options");
  const buildSecrets = secrets.take(given.buildSecrets, request);
  requireUpload(request, given.image);
  const { upload, signal } = request;
  return progressReply(parts, request, async (send) => {
    const options = {
      signal,
      output: (text: string) => send({ type: "output", text }),
      step: (title: string, detail: string) => send({ type: "step", title, detail }),
    };
    const source = { file: upload?.file ?? "", name: given.fileName, functionName: name };
    const settings = { ...prepareOf(given), buildSecrets };
    const prepared =
      given.image === undefined
        ? await parts.prepare(source, settings, options)
        : await imagesOf(parts)(given.image, settings, options);
    if (upload) await rm(upload.file, { force: true });
    send({ type: "done", build: builds.keep({ project, name, prepared }), runtime: prepared.runtime });
  });
}
