/** A pad to draw a digit on, and what MNIST would have made of it. */

const SIDE = 28;
const BOX = 20;

/** Lets the pointer draw white on black. */
export function drawable(pad: HTMLCanvasElement): { clear(): void } {
  const context = pad.getContext('2d', { willReadFrequently: true })!;
  const clear = (): void => {
    context.fillStyle = '#000000';
    context.fillRect(0, 0, pad.width, pad.height);
  };
  clear();
  let last: { x: number; y: number } | null = null;
  const at = (event: PointerEvent): { x: number; y: number } => {
    const { left, top, width, height } = pad.getBoundingClientRect();
    return { x: ((event.clientX - left) / width) * pad.width, y: ((event.clientY - top) / height) * pad.height };
  };
  pad.addEventListener('pointerdown', (event) => {
    pad.setPointerCapture(event.pointerId);
    last = at(event);
  });
  pad.addEventListener('pointermove', (event) => {
    if (!last) return;
    const next = at(event);
    context.strokeStyle = '#ffffff';
    context.lineWidth = pad.width / 13;
    context.lineCap = 'round';
    context.beginPath();
    context.moveTo(last.x, last.y);
    context.lineTo(next.x, next.y);
    context.stroke();
    last = next;
  });
  for (const type of ['pointerup', 'pointercancel'] as const) {
    pad.addEventListener(type, () => {
      last = null;
    });
  }
  return { clear };
}

/**
 * 28 × 28 pixels from 0 to 1 as MNIST was made: the drawing fitted into 20 × 20, with its centre of mass in the middle. Null
 * for an empty pad.
 */
export function mnistPixels(pad: HTMLCanvasElement): Float32Array<ArrayBuffer> | null {
  const { width, height } = pad;
  const { data } = pad.getContext('2d', { willReadFrequently: true })!.getImageData(0, 0, width, height);
  let [left, top, right, bottom] = [width, height, -1, -1];
  let [mass, massX, massY] = [0, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const ink = data[4 * (y * width + x)]!;
      if (ink < 32) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      mass += ink;
      massX += ink * x;
      massY += ink * y;
    }
  }
  if (mass === 0) return null;
  const scale = BOX / Math.max(right - left + 1, bottom - top + 1);
  const small = new OffscreenCanvas(SIDE, SIDE);
  const context = small.getContext('2d')!;
  context.fillStyle = '#000000';
  context.fillRect(0, 0, SIDE, SIDE);
  context.imageSmoothingQuality = 'high';
  const [centreX, centreY] = [SIDE / 2 - scale * (massX / mass), SIDE / 2 - scale * (massY / mass)];
  context.drawImage(pad, centreX, centreY, scale * width, scale * height);
  const pixels = context.getImageData(0, 0, SIDE, SIDE).data;
  return Float32Array.from({ length: SIDE * SIDE }, (_, i) => Math.round(1000 * (pixels[4 * i]! / 255)) / 1000);
}
