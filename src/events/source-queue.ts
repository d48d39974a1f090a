/** What the pollers need of a queue, whatever it speaks. */

export interface QueueMessage {
  /** Unique in its queue; functions name messages by it. */
  readonly id: string;
  /** The same when the message comes again, and of no other message that there ever was. */
  readonly key: string;
  /** As the function gets it. */
  readonly record: Readonly<Record<string, unknown>>;
  /** The text that filter patterns look into. */
  readonly payload: string;
  /** How often it was handed out, this time included. */
  readonly deliveries: number;
}

/**
 * One queue. A message that was received is hidden from others for `hiddenMs`, and comes again after that unless it was
 * extended or removed. It connects by itself, and again when the connection was lost.
 *
 * @throws PlatformError `SourceUnavailable` from any of them but `adopt`; `receive` throws `signal.reason` when aborted.
 */
export interface SourceQueue extends AsyncDisposable {
  /** The field of records that has the payload. */
  readonly payloadField: string;
  /** Known once something was received. */
  readonly hiddenMs: number;
  /** How often a message is tried before it is given up; undefined where the queue itself sees to that. */
  readonly attemptsMax: number | undefined;
  /** Waits for messages and gives what there is, at most `max`; none if none came in time. */
  receive(
    asked: { readonly max: number; readonly waitMs: number },
    options: { readonly signal: AbortSignal },
  ): Promise<readonly QueueMessage[]>;
  /** Hides them for another `hiddenMs`. */
  extend(messages: readonly QueueMessage[]): Promise<void>;
  /** Removes them for good. Gives those that could not be. */
  remove(messages: readonly QueueMessage[]): Promise<readonly QueueMessage[]>;
  /** Lets them come again after a while, since the function has failed on them. */
  retry(messages: readonly QueueMessage[]): Promise<void>;
  /** Lets them come again at once, since they were not tried. */
  release(messages: readonly QueueMessage[]): Promise<void>;
  /** Lets them never come again, though they were not worked on. */
  giveUp(messages: readonly QueueMessage[]): Promise<void>;
  /** The message has come again while it is held: what can be done with it is done by what came last. */
  adopt(held: QueueMessage, again: QueueMessage): void;
}
