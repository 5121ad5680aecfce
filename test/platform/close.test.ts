import { expect, it } from 'vitest';
import { openGpu } from '../../src/platform/node/gpu.js';

it('a device is closed in a later turn of the event loop than it was opened in', async () => {
  const gpu = await openGpu();
  let later = false;
  setImmediate(() => {
    later = true;
  });
  let lost = false;
  gpu.device.lost.then(() => {
    lost = true;
  });
  const closed = gpu.close();
  await Promise.resolve();
  expect([later, lost]).toEqual([false, false]);
  await closed;
  expect(later).toBe(true);
});
