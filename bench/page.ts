import { formatRow, type Row } from "./measure.ts";
import { drawLegend, drawPlot, escapeHtml, type Plot } from "./plot.ts";

/** A page of its own, without anything to load. */
export function pageOf(run: {
  readonly machine: string;
  readonly remarks: readonly string[];
  readonly rows: readonly Row[];
  readonly plots: readonly Plot[];
}): string {
  const rows = run.rows.map((row) => {
    const cells = formatRow(row).map((cell) => `<td>${escapeHtml(cell)}</td>`);
    return `<tr class="${row.isMet === false ? "missed" : ""}">${cells.join("")}</tr>`;
  });
  const plots = run.plots.map(
    (plot) =>
      `<figure><figcaption>${escapeHtml(plot.title)}</figcaption><p class="legend">${drawLegend(plot)}</p>${drawPlot(plot)}</figure>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>lambdad: measurements</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1360px; padding: 0 1rem; color: #1f2937 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #e5e7eb; white-space: nowrap }
td:first-child { white-space: normal }
.missed td:last-child { color: #b91c1c; font-weight: 600 }
.scroll { overflow-x: auto }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1.5rem; margin-top: 2rem }
figure { margin: 0; border: 1px solid #e5e7eb; border-radius: 6px; padding: .8rem }
figcaption { font-weight: 600; margin-bottom: .4rem }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: #4b5563 }
.legend { margin: 0; font-size: 13px }
.legend span { margin-right: .8rem; white-space: nowrap }
.grid { stroke: #e5e7eb }
.remark { color: #92400e }
</style>
<h1>lambdad: measurements</h1>
<p>${escapeHtml(run.machine)}</p>
${run.remarks.map((remark) => `<p class="remark">${escapeHtml(remark)}</p>`).join("\n")}
<div class="scroll"><table>
<tr>${["measure", "median", "min–max", "yardstick", "ratio", "bar", "runs", ""].map((name) => `<th>${name}</th>`).join("")}</tr>
${rows.join("\n")}
</table></div>
<div class="plots">
${plots.join("\n")}
</div>
</html>
`;
}
