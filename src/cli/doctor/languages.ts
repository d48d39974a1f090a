import { type Check, runProbe } from "./check.ts";

/** How each says its version, where Node comes along with lambdad and the rest is the host's. */
const LANGUAGES = [
  { name: "Python", command: ["python3", "--version"], version: /^Python (\S+)/ },
  { name: "Ruby", command: ["ruby", "--version"], version: /^ruby (\d+\.\d+\.\d+)/ },
  { name: "Java", command: ["java", "--version"], version: /^\S+ (\d+(?:\.\d+)*)/ },
  {
    name: ".NET",
    command: ["dotnet", "--list-runtimes"],
    version: /(?:^|[\s\S]*\n)Microsoft\.NETCore\.App (\S+)/,
  },
  { name: "Go", command: ["go", "version"], version: /go(\d+\.\d+(?:\.\d+)?)/ },
] as const;

/** None of them is needed by who does not write in it; `lambda runtimes` says what each name comes to. */
export async function checkLanguages(parts: {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}): Promise<Check> {
  const tried = await Promise.all(
    LANGUAGES.map(async ({ name, command, version }) => {
      const { exitCode, stdout } = await runProbe(command, parts);
      return { name, version: exitCode === 0 ? version.exec(stdout)?.[1] : undefined };
    }),
  );
  const here = tried.flatMap(({ name, version }) => (version === undefined ? [] : [`${name} ${version}`]));
  const gone = tried.flatMap(({ name, version }) => (version === undefined ? [name] : []));
  const lacks = gone.length === 0 ? "" : `no ${gone.join(", ")} (each needed only for functions in it)`;
  const found = [here.join(", "), lacks].filter((part) => part !== "").join("; ");
  return { name: "Languages", status: here.length > 0 ? "ok" : "absent", found, remedy: undefined };
}
