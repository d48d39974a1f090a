/** How projects and their releases are named, and what belongs to them. */

/** The name of a project: 1 to 40 of `a-z 0-9 -`, with neither a dash at an end nor two in a row: it is part of host names. */
export type ProjectName = string & { readonly __brand: "ProjectName" };

/** One release of a project. */
export interface ReleaseRef {
  readonly project: ProjectName;
  /** From 1, never used twice. */
  readonly number: number;
}

/**
 * The project of a hook or a source. While the live release does not have it, it does nothing and is kept for those that
 * have: with its address and secrets, its place in the queue.
 */
export interface TriggerOwner {
  readonly project: ProjectName;
  readonly isLive: boolean;
}

/** Whether the live release, if it is for releases to say, has it. */
export function isOfLiveRelease({ owner }: { readonly owner: TriggerOwner | undefined }): boolean {
  return owner?.isLive ?? true;
}

const PROJECT_NAME = /^(?!.*--)[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
const RELEASE_REF = /^([a-z0-9-]{1,40})@([1-9]\d{0,8})$/;
const RELEASE_LABEL = /^r([1-9]\d{0,8})$/;

/** The grammar in words, for error messages. */
export const PROJECT_NAME_RULE =
  "1 to 40 characters of a-z, 0-9 and -, with no - at an end and no two in a row";

export function parseProjectName(text: string): ProjectName | undefined {
  return PROJECT_NAME.test(text) ? (text as ProjectName) : undefined;
}

/**
 * `shop@12`. Stands where a qualifier does and can be neither alias nor version, so that whatever keeps a qualifier
 * (an event in the queue, say) keeps a release as well.
 */
export function formatRelease({ project, number }: ReleaseRef): string {
  return `${project}@${number}`;
}

export function parseRelease(text: string): ReleaseRef | undefined {
  const [, name = "", number] = RELEASE_REF.exec(text) ?? [];
  const project = parseProjectName(name);
  return project && { project, number: Number(number) };
}

/** The number of `r12`, as hosts name a release. */
export function parseReleaseLabel(text: string): number | undefined {
  const [, number] = RELEASE_LABEL.exec(text) ?? [];
  return number === undefined ? undefined : Number(number);
}
