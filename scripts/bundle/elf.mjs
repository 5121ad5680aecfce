// What an x86-64 ELF file needs from the system it runs on, and one repair of it. The layout: System V ABI, gABI
// chapter 4, and the Linux Standard Base's chapter on symbol versions.

const SECTION = { dynamic: 6, symbols: 11, needs: 0x6ffffffe, versions: 0x6fffffff };
const NEEDED = 1; // tag of a dynamic entry that names a library

/** The hash of the System V ABI, by which the dynamic linker compares versions. */
const elfHash = (name) => {
  let hash = 0;
  for (const code of Buffer.from(name, 'latin1')) {
    hash = ((hash << 4) + code) >>> 0;
    const high = hash & 0xf0000000;
    hash = (hash ^ (high >>> 24)) & ~high;
  }
  return hash >>> 0;
};

/**
 * {libraries, versions, symbols}: the libraries it is linked with; the versions it requires, each {library, version,
 * index, hashAt, nameAt} with the file offsets of the record; the undefined symbols with a version, {name, index}.
 * Throws if the bytes are no such file.
 */
export function readElf(bytes) {
  const good = bytes.length > 64 && bytes.readUInt32BE(0) === 0x7f454c46 && bytes[4] === 2 && bytes[5] === 1;
  if (!good || bytes.readUInt16LE(18) !== 62) throw new Error('not an ELF file for x86-64');
  const at64 = (offset) => Number(bytes.readBigUInt64LE(offset));
  const start = at64(40);
  const size = bytes.readUInt16LE(58);
  const sections = Array.from({ length: bytes.readUInt16LE(60) }, (_, i) => {
    const header = start + i * size;
    const [offset, length] = [at64(header + 24), at64(header + 32)];
    return { type: bytes.readUInt32LE(header + 4), offset, length, link: bytes.readUInt32LE(header + 40) };
  });
  const section = (type) => sections.find((one) => one.type === type);
  const stringAt = (table, index) => {
    const from = sections[table.link].offset + index;
    return bytes.toString('latin1', from, bytes.indexOf(0, from));
  };

  const libraries = [];
  const dynamic = section(SECTION.dynamic);
  for (let at = dynamic?.offset ?? 0; dynamic && at < dynamic.offset + dynamic.length; at += 16) {
    if (at64(at) === NEEDED) libraries.push(stringAt(dynamic, at64(at + 8)));
  }

  const versions = [];
  const needs = section(SECTION.needs);
  for (let need = needs?.offset ?? 0, more = Boolean(needs); more; ) {
    const library = stringAt(needs, bytes.readUInt32LE(need + 4));
    let entry = need + bytes.readUInt32LE(need + 8);
    for (let left = bytes.readUInt16LE(need + 2); left > 0; left--) {
      const version = stringAt(needs, bytes.readUInt32LE(entry + 8));
      versions.push({ library, version, index: bytes.readUInt16LE(entry + 6), hashAt: entry, nameAt: entry + 8 });
      entry += bytes.readUInt32LE(entry + 12);
    }
    const next = bytes.readUInt32LE(need + 12);
    more = next !== 0;
    need += next;
  }

  const symbols = [];
  const [table, indices] = [section(SECTION.symbols), section(SECTION.versions)];
  for (let i = 0; table && indices && i * 24 < table.length; i++) {
    const index = bytes.readUInt16LE(indices.offset + 2 * i) & 0x7fff;
    const undefinedHere = bytes.readUInt16LE(table.offset + 24 * i + 6) === 0;
    if (index > 1 && undefinedHere)
      symbols.push({ name: stringAt(table, bytes.readUInt32LE(table.offset + 24 * i)), index });
  }
  return { libraries, versions, symbols };
}

/** [3, 4, 30] of GLIBCXX_3.4.30, or null for another family. */
export function versionOf(version, family) {
  const match = new RegExp(`^${family}_(\\d+(?:\\.\\d+)*)$`).exec(version);
  return match ? match[1].split('.').map(Number) : null;
}

export function compareVersions(a, b) {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The highest version of a family (GLIBC, GLIBCXX) that the file requires, as text, or null. */
export function highest({ versions }, family) {
  const found = versions.map(({ version }) => versionOf(version, family)).filter(Boolean);
  return found.length ? found.sort(compareVersions).at(-1).join('.') : null;
}

/**
 * Binds a symbol to an older version of itself: the record that requires `from` is made to require `to`, which the file
 * must already require of the same library. Returns a changed copy. Throws unless `symbol` is all that `from` is needed
 * for, since everything else would change with it.
 */
export function bindOlder(bytes, { symbol, from, to }) {
  const { versions, symbols } = readElf(bytes);
  const [newer, older] = [from, to].map((wanted) => versions.find(({ version }) => version === wanted));
  if (!newer || !older || newer.library !== older.library) {
    throw new Error(`${from} and ${to} are not both required of one library`);
  }
  const users = symbols.filter(({ index }) => index === newer.index).map(({ name }) => name);
  if (users.length !== 1 || users[0] !== symbol)
    throw new Error(`${from} is needed for ${users.join(', ') || 'nothing'}`);
  const changed = Buffer.from(bytes);
  changed.writeUInt32LE(elfHash(to), newer.hashAt);
  changed.writeUInt32LE(bytes.readUInt32LE(older.nameAt), newer.nameAt);
  return changed;
}
