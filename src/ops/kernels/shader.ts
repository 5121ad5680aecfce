import type { Kernel, WgslPart } from '../../runtime/kernel.js';
import type { RadialKernel } from './kernel.js';

/**
 * A shader that needs the text of a radial kernel: declared once for each of these. `declare` is given the text, to stand
 * before the shader's own.
 */
export function perKernel<K extends Pick<Kernel, 'chosen'>>(
  declare: (kernelText: WgslPart) => K,
): (kernel: RadialKernel) => K {
  const declared = new Map<string, K>();
  return ({ shader: { source, constants } }) => {
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
