import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { RfmError } from '../errors.js';

/**
 * Families for the text of figures. The first is the one PNGs are drawn with; where a browser shows the SVG without
 * it, Verdana has nearly the same widths, and the rest are narrower, so that nothing overlaps.
 */
export const FONT_FAMILY = 'DejaVu Sans, Verdana, Arial, sans-serif';

/**
 * Font files of the package dejavu-fonts-ttf. A server or container often has no fonts at all, and the renderer then
 * leaves text out without a word, so that no font of the machine is relied on.
 */
function fontFiles(): string[] {
  try {
    const root = dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json'));
    return ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'].map((name) => join(root, 'ttf', name));
  } catch (error) {
    throw new RfmError(
      'internal',
      `the fonts of the figures are missing (${String(error).split('\n')[0]}); run npm run setup`,
    );
  }
}

/** Draws an SVG as PNG, `scale` pixels for one unit, with fonts that come with the project, on a thread of its own. */
export async function svgToPng(svg: string, scale = 2): Promise<Buffer> {
  const { renderAsync } = await import('@resvg/resvg-js');
  const image = await renderAsync(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: {
      loadSystemFonts: false,
      fontFiles: fontFiles(),
      defaultFontFamily: 'DejaVu Sans',
      sansSerifFamily: 'DejaVu Sans',
    },
  });
  return image.asPng();
}
