/** A figure of a page as a file of its own: dark ink on white, whatever the page has. */

const INK = '#1f2328';

/** Pixels for one unit of the drawing. */
const SCALE = 2;

/** A copy with its size, colours and background, without what the page put over it. */
function standalone(svg: SVGSVGElement): SVGSVGElement {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  for (const over of copy.querySelectorAll('.ring')) over.remove();
  const { width, height } = svg.viewBox.baseVal;
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.setAttribute('width', String(width));
  copy.setAttribute('height', String(height));
  copy.setAttribute('color', INK);
  const paper = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  for (const [name, value] of Object.entries({ width, height, fill: '#ffffff' })) {
    paper.setAttribute(name, String(value));
  }
  copy.prepend(paper);
  return copy;
}

/** The file's text. */
export const svgText = (svg: SVGSVGElement): string => new XMLSerializer().serializeToString(standalone(svg));

/** The figure in pixels. */
export async function svgPng(svg: SVGSVGElement): Promise<Blob> {
  const { width, height } = svg.viewBox.baseVal;
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = SCALE * width;
  canvas.height = SCALE * height;
  canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('the browser made no PNG'))), 'image/png');
  });
}
