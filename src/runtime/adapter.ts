export type AdapterChoice = 'auto' | 'hardware' | 'software';

export interface AdapterSummary {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  /** 'software' adapters run on the CPU; they are always named as such. */
  type: 'hardware' | 'software';
  /** PCI address of a GPU, `0000:65:00.0`, where it is known: equal GPUs have equal names. */
  pci?: string | undefined;
}

/** Software adapters run shaders on the CPU. Dawn marks lavapipe as a fallback adapter; names cover the others. */
export function summarizeAdapter(info: GPUAdapterInfo): AdapterSummary {
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  const software =
    info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|software|microsoft basic render/i.test(text);
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    type: software ? 'software' : 'hardware',
  };
}

/** Mesa's driver for the CPU, which takes long to compile. */
export const isLavapipe = ({ device, description }: Pick<AdapterSummary, 'device' | 'description'>): boolean =>
  /llvmpipe/i.test(`${device} ${description}`);

/** One line for people; a software adapter is named as such. */
export function describeAdapter(adapter: AdapterSummary): string {
  const name = [adapter.device, adapter.description].filter(Boolean).join(', ') || adapter.vendor || 'unnamed';
  const at = adapter.pci === undefined ? '' : ` at ${adapter.pci}`;
  return adapter.type === 'software' ? `${name} (software, runs on the CPU)` : `${name}${at}`;
}
