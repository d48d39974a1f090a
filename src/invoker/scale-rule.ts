/** What the pool of one version looks like when a call has to wait. */
export interface PoolLoad {
  /** Calls that wait, this one included. */
  readonly waiting: number;
  /** Instances that serve now, and those on their way. */
  readonly serving: number;
  readonly starting: number;
  readonly slotsPerInstance: number;
  /** False where an instance is used up by one call, so that waiting for one to come free is in vain. */
  readonly isReusable: boolean;
  /** What one call takes; undefined as long as none has been measured. */
  readonly serviceMs: number | undefined;
  /** What one start takes. */
  readonly startMs: number;
  /** Waiting that calls have suffered, summed up, since the last start or the last moment without a queue. */
  readonly sufferedMs: number;
}

/**
 * Whether another instance is worth its start. Three reasons, each enough:
 * nothing serves and too little is on its way; a waiting call expects to wait longer than a start takes; or the calls
 * have together waited so long that a start, had it been made, would have paid for itself (the rule by which one buys
 * skis once renting has cost as much).
 */
export function isAnotherInstanceWorthIt(load: PoolLoad): boolean {
  const onTheirWay = load.starting * load.slotsPerInstance;
  if (onTheirWay >= load.waiting) return false;
  if (!load.isReusable) return true;
  if (load.serving === 0) return load.starting === 0 || load.serviceMs === undefined || isWaitLong(load);
  if (load.serviceMs === undefined) return true;
  return isWaitLong(load) || load.sufferedMs > load.startMs * SUFFERING_PER_START;
}

/** A start costs CPU that the waiting calls would have got; so it has to pay for itself several times. */
const SUFFERING_PER_START = 10;

function isWaitLong(load: PoolLoad): boolean {
  if (load.serviceMs === undefined) return true;
  const slots = Math.max(1, (load.serving + load.starting) * load.slotsPerInstance);
  return (load.waiting * load.serviceMs) / slots > load.startMs;
}
