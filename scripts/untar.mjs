// A reader for the two tar archives setup meets (npm's tarballs and Chromium's libraries), because a minimal container
// may lack `tar`. Regular files only, in memory.

const text = (block, start, length) => {
  const end = block.indexOf(0, start);
  return block.toString('utf8', start, end < 0 || end > start + length ? start + length : end);
};

const octal = (block, start, length, what) => {
  const digits = text(block, start, length).trim();
  if (!/^[0-7]+$/.test(digits)) throw new Error(`tar: ${what} is not an octal number`);
  return Number.parseInt(digits, 8);
};

/** The "path" record of a pax header ("<length> path=<name>\n"), which replaces the next entry's name. */
function paxPath(data) {
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(32, at);
    const length = Number.parseInt(data.toString('latin1', at, space), 10);
    if (space < 0 || !(length > 0)) throw new Error('tar: bad pax header');
    const record = data.toString('utf8', space + 1, at + length - 1);
    if (record.startsWith('path=')) return record.slice('path='.length);
    at += length;
  }
  return null;
}

/** Yields {name, data} for each regular file; throws on a damaged or truncated archive. */
export function* tarFiles(archive) {
  let longName = null;
  for (let at = 0; ; ) {
    if (at + 512 > archive.length) throw new Error('tar: the archive is truncated');
    const header = archive.subarray(at, at + 512);
    if (header.every((byte) => byte === 0)) return;
    let sum = 0;
    for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 32 : header[i]; // the checksum's own field counts as blanks
    if (sum !== octal(header, 148, 8, 'the checksum')) throw new Error(`tar: bad header checksum at byte ${at}`);
    const size = octal(header, 124, 12, 'the size');
    const data = archive.subarray(at + 512, at + 512 + size);
    if (data.length < size) throw new Error('tar: the archive is truncated');
    at += 512 + Math.ceil(size / 512) * 512;

    const type = String.fromCharCode(header[156]);
    // GNU's magic is "ustar  ": it uses the prefix's place for other things.
    const prefix = text(header, 257, 8) === 'ustar' ? text(header, 345, 155) : '';
    if (type === 'x') longName = paxPath(data);
    else if (type === 'L') longName = text(data, 0, data.length);
    else {
      const short = text(header, 0, 100);
      if (type === '0' || type === '\0') yield { name: longName ?? (prefix ? `${prefix}/${short}` : short), data };
      if (type !== 'g') longName = null;
    }
  }
}
