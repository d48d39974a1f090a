const NAMES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** As images and Go call what Node calls `arch`. */
export function imageArchitecture(arch: string): string {
  return NAMES[arch] ?? arch;
}
