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
  /** Of this host. */
  readonly cores: number;
  /** Whether those have nothing to spare; asked only where it decides. */
  readonly isCpuBusy: () => boolean;
}

/**
 * Whether another instance is worth its start. Three reasons, each enough:
 * nothing serves and too little is on its way; a waiting call expects to wait longer than a start takes; or the calls
 * have together waited so long that a start, had it been made, would have paid for itself (the rule by which one buys
 * skis once renting has cost as much).
 *
 * The last reason holds for calls that are much shorter than a start. Those are bound by CPU, so it never asks for more
 * instances than there are cores: beyond that they only take the processor from each other, and from the gateway.
 */
export function isAnotherInstanceWorthIt(load: PoolLoad): boolean {
  const onTheirWay = load.starting * load.slotsPerInstance;
  if (onTheirWay >= load.waiting) return false;
  if (!load.isReusable || load.serviceMs === undefined) return true;
  if (load.serving === 0 && load.starting === 0) return true;
  if (isHeldUpByCpu(load, load.serviceMs)) return false;
  if (isWaitLongerThanStart(load, load.serviceMs)) return true;
  return load.serving + load.starting < load.cores && load.sufferedMs > load.startMs * SUFFERING_PER_START;
}

/**
 * Short calls that take long because the processor is busy take longer with each instance that joins in. Calls that wait for
 * something else leave it idle, and long ones share it fairly only if each has an instance.
 */
function isHeldUpByCpu({ serving, starting, cores, isCpuBusy }: PoolLoad, serviceMs: number): boolean {
  return serviceMs < SHORT_MS_MAX && serving + starting >= cores && isCpuBusy();
}

const SHORT_MS_MAX = 20;

/** A start costs CPU that the waiting calls would have got; so it has to pay for itself several times. */
const SUFFERING_PER_START = 10;

function isWaitLongerThanStart(load: PoolLoad, serviceMs: number): boolean {
  const slots = (load.serving + load.starting) * load.slotsPerInstance;
  return (load.waiting * serviceMs) / slots > load.startMs;
}
