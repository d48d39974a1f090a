import type { Lane } from "./event-queue.ts";
import { MinHeap } from "./min-heap.ts";

/**
 * Which events wait, by number, so that finding the next needs no look at the disk: about 8 bytes for each that is
 * due, and a small object for each that has a time. Bounded by the limits of the queue.
 *
 * It may name events that wait no more (cancelled ones); whoever claims asks the store.
 */
export class PendingEvents {
  /** Lanes with something due. The first is next; one that was served goes to the end. */
  readonly #lanes = new Map<Lane, LaneQueue>();
  readonly #delayed = new MinHeap<Delayed>(({ dueAt }) => dueAt);

  /** An event that has just arrived; later ones than all before it. */
  add(lane: Lane, sequence: number, dueAt: number, now: number): void {
    if (dueAt > now) this.#delayed.push({ lane, sequence, dueAt });
    else this.#laneOf(lane).arrived.push(sequence);
  }

  /** An event that was here before, and goes ahead of younger ones. */
  putBack(lane: Lane, sequence: number, dueAt: number, now: number): void {
    if (dueAt > now) this.#delayed.push({ lane, sequence, dueAt });
    else this.#laneOf(lane).returned.push(sequence);
  }

  /** Takes up to `limit` that are due, going round the lanes, and of each lane at most `room`. */
  take(now: number, limit: number, room: (lane: Lane) => number): PendingEvent[] {
    this.#promote(now);
    const taken: PendingEvent[] = [];
    const rooms = new Map<Lane, number>();
    // Lanes that are served go to the end and are come by again; those without room are passed over once each.
    for (const [lane, queue] of this.#lanes) {
      if (taken.length >= limit) break;
      const left = rooms.get(lane) ?? room(lane);
      rooms.set(lane, left - 1);
      if (left <= 0) continue;
      const sequence = queue.take();
      this.#lanes.delete(lane);
      if (!queue.isEmpty) this.#lanes.set(lane, queue);
      if (sequence !== undefined) taken.push({ lane, sequence });
    }
    return taken;
  }

  nextDueAt(): number | undefined {
    return this.#delayed.first?.dueAt;
  }

  /** Forgets what is due in the lanes of a function; what has a time is found to be gone when that comes. */
  drop(functionName: string): void {
    for (const lane of this.#lanes.keys()) {
      if (lane === functionName || lane.startsWith(`${functionName} `)) this.#lanes.delete(lane);
    }
  }

  #promote(now: number): void {
    for (let first = this.#delayed.first; first && first.dueAt <= now; first = this.#delayed.first) {
      this.#delayed.pop();
      this.#laneOf(first.lane).returned.push(first.sequence);
    }
  }

  #laneOf(lane: Lane): LaneQueue {
    let queue = this.#lanes.get(lane);
    if (!queue) {
      queue = new LaneQueue();
      this.#lanes.set(lane, queue);
    }
    return queue;
  }
}

interface PendingEvent {
  readonly lane: Lane;
  readonly sequence: number;
}

interface Delayed extends PendingEvent {
  readonly dueAt: number;
}

class LaneQueue {
  readonly arrived = new NumberQueue();
  readonly returned = new MinHeap<number>((sequence) => sequence);

  get isEmpty(): boolean {
    return this.arrived.first === undefined && this.returned.first === undefined;
  }

  take(): number | undefined {
    const { first } = this.returned;
    const isOlder = first !== undefined && first < (this.arrived.first ?? Number.POSITIVE_INFINITY);
    return isOlder ? this.returned.pop() : this.arrived.take();
  }
}

/** First in, first out; what was taken is let go in large pieces. */
class NumberQueue {
  #numbers: number[] = [];
  #taken = 0;

  get first(): number | undefined {
    return this.#numbers[this.#taken];
  }

  push(number: number): void {
    this.#numbers.push(number);
  }

  take(): number | undefined {
    const number = this.#numbers[this.#taken];
    if (number === undefined) return undefined;
    this.#taken += 1;
    if (this.#taken >= TAKEN_MAX && this.#taken * 2 >= this.#numbers.length) {
      this.#numbers = this.#numbers.slice(this.#taken);
      this.#taken = 0;
    }
    return number;
  }
}

const TAKEN_MAX = 1_024;
