export function adapterKind(info: {
  vendor?: string;
  architecture?: string;
  description?: string;
  isFallbackAdapter?: boolean;
}): 'hardware' | 'lavapipe' | 'swiftshader' | 'software';
