import type { Gpu } from '../../src/runtime/gpu.js';
import type { Pool } from '../../src/runtime/pool.js';

/** A device whose memory is what the plan foresees, to the byte; `held` tells the plan, and the most that was in use. */
export function boundedGpu(opened: Gpu, tileBytes: number): { gpu: Gpu; held: { planned: number; live: number } } {
  const { pool } = opened;
  pool.trim();
  const held = { planned: 0, live: 0 };
  const note = <T>(taken: T): T => {
    held.live = Math.max(held.live, pool.bytes.live);
    return taken;
  };
  const own: Pool = {
    ...pool,
    take: (bytes) => note(pool.take(bytes)),
    takeTexture: (width, height) => note(pool.takeTexture(width, height)),
    limit({ soft }) {
      held.planned = Number.isFinite(soft) ? soft : held.planned;
      pool.limit({ soft, hard: soft });
    },
  };
  return { gpu: { ...opened, pool: own, tileBytes }, held };
}
