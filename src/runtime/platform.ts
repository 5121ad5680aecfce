/**
 * What the system around a device does differently in Node and in a browser. `src/platform` implements it; nothing below
 * imports Node's modules. `performance.now` is the same in both and not part of it.
 */
export interface Platform {
  /** The result of `work`, which waits for a software adapter: it computes on the cores that waiting must leave alone. */
  waitIdly<T>(work: () => T | Promise<T>): Promise<T>;
  /** What is waited for will not take long: see `waitIdly`. */
  hurry(): void;
  /** Resolves when the event loop has handled what is ready by now. */
  nextTurn(): Promise<void>;
  /** Bytes of the machine's memory; null where the system does not tell. */
  memoryBytes(): number | null;
}
