import type { Kernel, WgslPart } from '../../runtime/kernel.js';
import type { CoordinateDistance, RadialKernel } from './kernel.js';

/** WGSL, and the constants that it takes. */
interface Text {
  readonly source: WgslPart;
  readonly constants: Readonly<Record<string, number>>;
}

/** A shader that needs a text: declared once for each of these. */
function perText<K extends Pick<Kernel, 'chosen'>>(declare: (text: WgslPart) => K): (text: Text) => K {
  const declared = new Map<string, K>();
  return ({ source, constants }) => {
    const key = `${typeof source === 'string' ? source : source.file} ${JSON.stringify(constants)}`;
    let shader = declared.get(key);
    if (!shader) {
      shader = declare(source);
      shader = { ...shader, chosen: { ...shader.chosen, ...constants } };
      declared.set(key, shader);
    }
    return shader;
  };
}

/**
 * A shader that needs the text of a radial kernel: declared once for each of these. `declare` is given the text, to stand
 * before the shader's own.
 */
export function perKernel<K extends Pick<Kernel, 'chosen'>>(
  declare: (kernelText: WgslPart) => K,
): (kernel: RadialKernel) => K {
  const of = perText(declare);
  return ({ shader }) => of(shader);
}

/** The same for the text of a distance by coordinates. */
export const perDistance: <K extends Pick<Kernel, 'chosen'>>(
  declare: (text: WgslPart) => K,
) => (distance: CoordinateDistance) => K = perText;
