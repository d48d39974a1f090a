/** What one function took of the processor lately, all its instances together, in cores. */
export interface CpuUse {
  readonly name: string;
  readonly cores: number;
}

/** Who takes less is in nobody's way. */
const CORES_MIN = 0.2;
/** Who takes more than this share of what those take on average who take as much or more, takes what the others want. */
const SHARE_MAX = 0.8;

/**
 * Which functions stand back behind the others on a host whose cores are busy: those that take the most, down to the first
 * that takes clearly less than the average of these. Nobody stands back if that leaves nobody in front.
 *
 * Who stands back gets less, and once he takes clearly less than the others he does no longer: so two that want
 * everything get half each in the end, and one that wants little gets it at once.
 */
export function whoStandsBack(uses: readonly CpuUse[]): ReadonlySet<string> {
  const rising = [...uses].sort((a, b) => a.cores - b.cores);
  let rest = rising.reduce((sum, { cores }) => sum + cores, 0);
  let first = 0;
  for (const { cores } of rising) {
    if (cores >= CORES_MIN && cores > (rest / (rising.length - first)) * SHARE_MAX) break;
    rest -= cores;
    first += 1;
  }
  return new Set(first === 0 ? [] : rising.slice(first).map(({ name }) => name));
}
