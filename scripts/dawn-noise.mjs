/** What Dawn says about every driver that has room for more descriptors than it uses. */
const NOISE = /^Warning: max\w+ artificially reduced from \d+ to \d+ to fit dynamic offset allocation limit\.$/;

/** Hands the lines of a stream of text to `take`, but for those that mean nothing to anybody. */
export function linesOf(stream, take) {
  let rest = '';
  const pass = (line) => {
    if (!NOISE.test(line)) take(line);
  };
  stream.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) pass(line);
  });
  stream.on('end', () => {
    if (rest !== '') pass(rest);
  });
}
