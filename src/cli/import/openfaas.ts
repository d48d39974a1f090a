/** stack.yaml of OpenFaaS: https://docs.openfaas.com/reference/yaml/ */
import { isRecord } from "../../core/is-record.ts";
import { Draft, listOf, membersOf, reference, textOf } from "./draft.ts";

export function isOpenFaas(file: unknown): boolean {
  return (
    isRecord(file) &&
    isRecord(file.functions) &&
    membersOf(file.functions).some(
      ([, each]) => isRecord(each) && (each.lang !== undefined || each.image !== undefined),
    )
  );
}

export function importOpenFaas(file: Readonly<Record<string, unknown>>, project: string): Draft {
  const draft = new Draft(project);
  for (const [name, each] of membersOf(file.functions)) {
    if (!isRecord(each)) continue;
    const lang = textOf(each.lang);
    const image = variables(textOf(each.image));
    const limits = isRecord(each.limits) ? each.limits : {};
    const isOwn = lang === "dockerfile" || lang === "Dockerfile";
    const added = draft.addFunction(name, {
      ...(isOwn
        ? { path: textOf(each.handler) ?? name, package: "image" }
        : image === undefined
          ? { path: textOf(each.handler) ?? name }
          : { image }),
      memory: memoryOf(textOf(limits.memory)),
      environment: Object.fromEntries(
        membersOf(each.environment).map(([key, value]) => [key, variables(textOf(value)) ?? ""]),
      ),
      secrets: listOf(each.secrets).flatMap((secret) => secretName(draft, name, textOf(secret))),
    });
    if (!isOwn && lang !== undefined) {
      draft.note(
        image === undefined
          ? `function ${name}: was written for the template ${lang}; check how it is run`
          : `function ${name}: its image is taken, as faas-cli build makes it of the template ${lang}; it must be on this host or in a registry`,
      );
    }
    for (const [key, value] of membersOf(each.annotations)) {
      if (key === "schedule" && textOf(value) !== undefined)
        draft.addSchedule(added, undefined, textOf(value) ?? "");
      else if (key !== "topic") draft.note(`function ${name}: annotation ${key} is not taken over`);
    }
    for (const key of [
      "constraints",
      "requests",
      "build_args",
      "build_options",
      "environment_file",
      "labels",
    ]) {
      if (each[key] !== undefined) draft.note(`function ${name}: ${key} is not taken over`);
    }
  }
  return draft;
}

/** `${X:-y}` in our words; `$${` is a literal `${`. */
function variables(text: string | undefined): string | undefined {
  return text?.replace(/\$\$\{|\$\{(\w+)(?::-?([^{}]*))?\}/g, (_, name: string | undefined, value) =>
    name === undefined ? "${" : reference(name, value),
  );
}

/** Files there, variables here. */
function secretName(draft: Draft, name: string, secret: string | undefined): string[] {
  if (secret === undefined) return [];
  const variable = secret.toUpperCase().replace(/[^A-Z0-9_]+/g, "_");
  draft.note(`function ${name}: secret ${secret} is the variable ${variable} here, and no file`);
  return [variable];
}

/** `128Mi`, `1Gi`. */
function memoryOf(text: string | undefined): string | undefined {
  const [, amount, unit] = /^(\d+)\s*([mg])i?b?$/i.exec(text ?? "") ?? [];
  return amount && unit ? `${amount}${unit.toUpperCase()}` : undefined;
}
