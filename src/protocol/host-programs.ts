/** What is asked of this host to find an interpreter. */
export interface HostPrograms {
  /** Undefined where no folder of PATH has it. */
  readonly onPath: (name: string) => Promise<string | undefined>;
  /** What a program prints; undefined if it does not work. */
  readonly ask: (path: string, args: readonly string[]) => Promise<string | undefined>;
}

export interface FoundInterpreter {
  readonly path: string;
  readonly version: string;
  /** Folders that it needs; those in /usr are in every sandbox. */
  readonly toolDirs: readonly string[];
}
