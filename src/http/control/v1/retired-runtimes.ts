/** Names of runtimes that Lambda has retired, and what runs in their place; those that nothing can stand in for are left out. */
const SUCCESSORS: Readonly<Record<string, string>> = {
  "go1.x": "provided.al2023",
  provided: "provided.al2023",
  nodejs: "nodejs24.x",
  "nodejs4.3": "nodejs24.x",
  "nodejs6.10": "nodejs24.x",
  "nodejs8.10": "nodejs24.x",
  "nodejs10.x": "nodejs24.x",
  "nodejs12.x": "nodejs24.x",
  "nodejs14.x": "nodejs24.x",
  "nodejs16.x": "nodejs24.x",
  "nodejs18.x": "nodejs24.x",
  "python3.6": "python3.13",
  "python3.7": "python3.13",
  "python3.8": "python3.13",
  "ruby2.5": "ruby3.4",
  "ruby2.7": "ruby3.4",
  "dotnetcore1.0": "dotnet8",
  "dotnetcore2.0": "dotnet8",
  "dotnetcore2.1": "dotnet8",
  "dotnetcore3.1": "dotnet8",
  "dotnet5.0": "dotnet8",
  dotnet7: "dotnet8",
  java8: "java21",
  "java8.al2": "java21",
};

export interface RuntimeChoice {
  readonly runtime: string | undefined;
  /** What whoever asked should know. */
  readonly warnings: readonly string[];
}

/** The runtime that a name means. */
export function chooseRuntime(name: string | undefined): RuntimeChoice {
  const successor = name === undefined ? undefined : SUCCESSORS[name];
  if (successor === undefined) return { runtime: name, warnings: [] };
  const warning = `runtime ${name} is retired; the function runs on its successor ${successor}: say --runtime ${successor} to be rid of this`;
  return { runtime: successor, warnings: [warning] };
}
