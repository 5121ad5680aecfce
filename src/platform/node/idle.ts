/**
 * While a promise of Dawn's is pending, its Node bindings ask the driver for news in every turn of the
 * event loop, without a pause: the main thread keeps a whole core busy. Where the GPU is a software
 * driver that core is half the machine: on two cores a matrix product took 1.6 times as long. So while
 * somebody waits, every turn sleeps for a sixteenth of the time waited so far, at most 1 ms: what is
 * waited for is noticed at most that much later.
 */

const LONGEST_MS = 1;
const SHARE = 1 / 16;

let waiting = 0;
let started = 0;
let napping = false;
const cell = new Int32Array(new SharedArrayBuffer(4));

/** The result of `work`, with the event loop slowed down until it settles. */
export async function waitIdly<T>(work: () => T | Promise<T>): Promise<T> {
  if (waiting++ === 0) started = performance.now();
  if (!napping) {
    napping = true;
    setImmediate(nap);
  }
  try {
    return await work();
  } finally {
    waiting--;
  }
}

/** The event loop goes on at its full pace, for what will not take long. */
export function hurry(): void {
  started = performance.now();
}

function nap(): void {
  if (waiting === 0) {
    napping = false;
    return;
  }
  Atomics.wait(cell, 0, 0, Math.min(LONGEST_MS, (performance.now() - started) * SHARE));
  setImmediate(nap);
}
