import { readInstructions } from "./dockerfile-text.ts";

/** Which of those secrets no `RUN` mounts, by `id` or by the last name of its `target`. */
export function unusedSecrets(dockerfile: string, ids: readonly string[]): readonly string[] {
  if (ids.length === 0) return [];
  const taken = new Set<string>();
  for (const { keyword, flags } of readInstructions(dockerfile)) {
    if (keyword !== "RUN") continue;
    for (const flag of flags) {
      const options = /^--mount=(.*)$/.exec(flag)?.[1]?.split(",") ?? [];
      if (!options.includes("type=secret")) continue;
      const value = (name: string) =>
        options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
      const target = value("target") ?? value("dst") ?? value("destination");
      const id = value("id") ?? target?.split("/").at(-1);
      // A variable's value is the builder's to know.
      if (id === undefined || id.includes("$")) return [];
      taken.add(id);
    }
  }
  return ids.filter((id) => !taken.has(id));
}
