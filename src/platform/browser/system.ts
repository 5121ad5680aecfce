import type { Platform } from '../../runtime/platform.js';

/** What is used of the browser's own; the types of Node's differ. */
declare const MessageChannel: new () => {
  port1: { onmessage: (() => void) | null; close(): void };
  port2: { postMessage(message: null): void };
};

/** A browser: it computes in another process and tells no page how much memory there is. */
export const browserPlatform: Platform = {
  async waitIdly(work) {
    return work();
  },
  hurry() {},
  // Timers wait for 4 ms where they are nested; messages do not.
  nextTurn: () =>
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    }),
  memoryBytes: () => null,
};
