const LINES_AROUND = 2;
const WIDTH_MAX = 160;

/** The lines around a place of a text, with a mark under its column; undefined if it has no such line. Both count from 1. */
export function frameOf(text: string, line: number, column: number | undefined): string | undefined {
  const lines = text.split(/\r?\n/);
  if (line < 1 || line > lines.length) return undefined;
  const first = Math.max(1, line - LINES_AROUND);
  const last = Math.min(lines.length, line + LINES_AROUND);
  const width = String(last).length;
  const shown: string[] = [];
  for (let at = first; at <= last; at += 1) {
    const source = (lines[at - 1] ?? "").replaceAll("\t", "  ").slice(0, WIDTH_MAX);
    shown.push(`${at === line ? ">" : " "} ${String(at).padStart(width)} | ${source}`.trimEnd());
    if (at !== line || column === undefined) continue;
    const tabs = (lines[at - 1] ?? "").slice(0, column - 1).split("\t").length - 1;
    shown.push(`  ${" ".repeat(width)} | ${" ".repeat(Math.min(column - 1 + tabs, WIDTH_MAX))}^`);
  }
  return shown.join("\n");
}
