/** In place of pngjs, which reads folders of pictures: a page gets files without their folders. */

function refuse(): never {
  throw new Error('a page takes no folders of pictures');
}
export const PNG = { sync: { read: refuse } };
