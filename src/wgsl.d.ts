/** Shaders are imported as text that knows where its lines stand: scripts/wgsl.mjs. */
declare module '*.wgsl' {
  const source: import('./runtime/kernel.js').WgslSource;
  export default source;
}
