import { visible } from "./visible.ts";

/** Columns without borders, as `cut`, `awk` and eyes like them. Nothing is printed after a row's last cell. */
export function formatTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return formatColumns([titles, ...rows]);
}

/** `Name:  value` lines with the values under one another. Lines without a value are left out. */
export function formatFacts(facts: readonly (readonly [name: string, value: string | undefined])[]): string {
  return formatColumns(
    facts.flatMap(([name, value]) => (value === undefined || value === "" ? [] : [[`${name}:`, value]])),
  );
}

function formatColumns(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(visible));
  const widths: number[] = [];
  for (const row of cells) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 3))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}
