import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { RenderedImage } from '@resvg/resvg-js';
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

/** Loaded once: a second import waits until the thread is free, and no picture is begun meanwhile. */
let loaded: Promise<typeof import('@resvg/resvg-js')> | null = null;

/** Draws an SVG on a thread of its own, `scale` pixels for one unit, with fonts that come with the project. */
async function render(svg: string, scale: number): Promise<RenderedImage> {
  loaded ??= import('@resvg/resvg-js');
  const { renderAsync } = await loaded;
  return renderAsync(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: {
      loadSystemFonts: false,
      fontFiles: fontFiles(),
      defaultFontFamily: 'DejaVu Sans',
      sansSerifFamily: 'DejaVu Sans',
    },
  });
}

/** The same as PNG. */
export const svgToPng = async (svg: string, scale = 2): Promise<Buffer> => (await render(svg, scale)).asPng();

/** The same as pixels, one for a unit: red, green, blue, each times the alpha behind them, from 0 to 255. */
export const svgToPixels = async (svg: string): Promise<Buffer> => (await render(svg, 1)).pixels;
