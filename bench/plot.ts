/** What a page shows besides the table: lines over two axes, drawn as SVG. */
export interface Plot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly PlotLine[];
}

export interface Axis {
  readonly label: string;
  readonly isLog?: boolean;
}

export interface PlotLine {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Points without a line between them, and no joining of what was measured apart. */
  readonly isScatter?: boolean;
}

const WIDTH = 640;
const HEIGHT = 320;
const LEFT = 64;
const RIGHT = 16;
const TOP = 16;
const BOTTOM = 44;
const COLORS = ["#2563eb", "#dc2626", "#059669", "#9333ea", "#d97706", "#0891b2"];

/** What the colours stand for, as HTML. */
export function drawLegend({ lines }: Plot): string {
  return lines
    .map(
      ({ name }, index) =>
        `<span style="color:${COLORS[index % COLORS.length]}">● ${escapeHtml(name)}</span>`,
    )
    .join(" ");
}

export function drawPlot(plot: Plot): string {
  const points = plot.lines.flatMap(({ points }) => points);
  const x = scale(
    points.map(([value]) => value),
    plot.x,
    [LEFT, WIDTH - RIGHT],
  );
  const y = scale(
    points.map(([, value]) => value),
    plot.y,
    [HEIGHT - BOTTOM, TOP],
  );
  const grid = [
    ...x.ticks.map((value) => {
      const at = x.place(value).toFixed(1);
      return `<line x1="${at}" y1="${TOP}" x2="${at}" y2="${HEIGHT - BOTTOM}" class="grid"/><text x="${at}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${label(value)}</text>`;
    }),
    ...y.ticks.map((value) => {
      const at = y.place(value).toFixed(1);
      return `<line x1="${LEFT}" y1="${at}" x2="${WIDTH - RIGHT}" y2="${at}" class="grid"/><text x="${LEFT - 6}" y="${at}" dy="4" text-anchor="end">${label(value)}</text>`;
    }),
  ];
  const lines = plot.lines.map((line, index) => {
    const color = COLORS[index % COLORS.length];
    const places = line.points.map(([px, py]) => `${x.place(px).toFixed(1)},${y.place(py).toFixed(1)}`);
    const dots = places.map((place) => {
      const [cx, cy] = place.split(",");
      return `<circle cx="${cx}" cy="${cy}" r="2.5" fill="${color}"/>`;
    });
    const path = line.isScatter
      ? ""
      : `<polyline points="${places.join(" ")}" fill="none" stroke="${color}" stroke-width="2"/>`;
    return path + dots.join("");
  });
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(plot.title)}">`,
    ...grid,
    ...lines,
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeHtml(plot.x.label)}</text>`,
    `<text x="14" y="${(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" transform="rotate(-90 14 ${(TOP + HEIGHT - BOTTOM) / 2})">${escapeHtml(plot.y.label)}</text>`,
    "</svg>",
  ].join("\n");
}

interface Scale {
  readonly ticks: readonly number[];
  place(value: number): number;
}

function scale(values: readonly number[], axis: Axis, [from, to]: readonly [number, number]): Scale {
  const known = values.filter((value) => Number.isFinite(value) && (!axis.isLog || value > 0));
  const low = axis.isLog ? Math.min(...known) : Math.min(0, ...known);
  const high = Math.max(...known);
  const ticks = axis.isLog ? logTicks(low, high) : linearTicks(low, high);
  const ends = [Math.min(low, ticks[0] ?? low), Math.max(high, ticks.at(-1) ?? high)] as const;
  const measure = (value: number) => (axis.isLog ? Math.log10(Math.max(value, ends[0])) : value);
  const span = measure(ends[1]) - measure(ends[0]) || 1;
  return { ticks, place: (value) => from + ((measure(value) - measure(ends[0])) / span) * (to - from) };
}

function linearTicks(low: number, high: number): number[] {
  const rough = (high - low || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? power;
  const ticks: number[] = [];
  for (let value = Math.floor(low / step) * step; value < high + step; value += step) ticks.push(value);
  return ticks;
}

function logTicks(low: number, high: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    ticks.push(10 ** power);
  }
  // Within one power of ten there would be nothing to read off.
  return ticks.length > 2 ? ticks : ticks.flatMap((tick) => [tick, 2 * tick, 5 * tick]).slice(0, -2);
}

function label(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 10_000) return `${Number((value / 1_000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
