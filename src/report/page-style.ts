/** Style sheet of the report: light and dark, phone to desktop, and print. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: #ffffff; --card: #f6f8fa; --ink: #1f2328; --muted: #57606a; --line: #d0d7de; --link: #0550ae;
  --warn: #fff4d6; --warn-line: #bf8700; --good: #e6f4ea; --good-line: #1a7f37;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --card: #1c2127; --ink: #e6e9ed; --muted: #a3adb8; --line: #39414b; --link: #79b8ff;
    --warn: #33290d; --warn-line: #d4a72c; --good: #12281a; --good-line: #3fb950;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 72rem; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 3rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
p { max-width: 46rem; margin: .5rem 0; }
a { color: var(--link); }
.muted, figcaption, caption { color: var(--muted); font-size: .9rem; }
.verdict { font-size: 1.2rem; line-height: 1.5; max-width: 50rem; margin: .75rem 0 1rem; }
.readout { min-height: 1.6em; margin: .4rem 0 0; font-size: .9rem; color: var(--muted); font-variant-numeric: tabular-nums; }
.readout.shown { color: var(--ink); font-weight: 600; }
.ring { fill: none; stroke: currentColor; stroke-width: 2; pointer-events: none; }
.tools, .gram-control { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .5rem 0; }
.gram-control input { flex: 1 1 12rem; max-width: 24rem; accent-color: var(--link); min-height: 1.5rem; }
.gram-control output { min-width: 2.5ch; font-variant-numeric: tabular-nums; }
button { font: inherit; font-size: .85rem; padding: .25rem .8rem; min-height: 1.75rem; color: var(--ink);
  background: var(--card); border: 1px solid var(--muted); border-radius: .35rem; cursor: pointer; }
button:hover { border-color: var(--link); color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
details { margin: .5rem 0; }
summary { cursor: pointer; font-size: .9rem; color: var(--link); padding: .25rem 0; }
details .scroll { max-height: 24rem; overflow: auto; }
.table { margin: 1rem 0 1.5rem; }
.note { border-left: .3rem solid var(--good-line); background: var(--good); padding: .6rem 1rem; margin: 1rem 0;
  max-width: 46rem; border-radius: .25rem; }
.note.warn { border-color: var(--warn-line); background: var(--warn); }
.note p, .note ul { margin: .2rem 0; }
.tag { display: inline-block; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem; }
.scroll { overflow-x: auto; }
figure { margin: 1rem 0 1.5rem; }
figcaption { max-width: 46rem; margin-top: .5rem; }
.chart svg { display: block; width: 100%; max-width: 46.5rem; min-width: 40rem; height: auto; }
.grams { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.grams figure { margin: 0; }
.grams.stepped { display: block; max-width: 34rem; }
.grams img { display: block; width: 100%; height: auto; background: #ffffff; border-radius: .4rem; padding: .4rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { background: var(--card); vertical-align: bottom; }
tbody th { font-weight: 600; }
th[scope=colgroup] { text-align: center; border-left: 1px solid var(--line); }
.settings th { text-align: left; vertical-align: top; font-weight: 600; white-space: normal; min-width: 7rem; }
.settings td { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
.layers td.text { text-align: left; }
tr.repaired > * { background: var(--warn); }
li { margin: .3rem 0; max-width: 46rem; }
footer { margin-top: 2.5rem; }
@media print {
  :root {
    color-scheme: light; --page: #ffffff; --card: #f6f8fa; --ink: #000000; --muted: #444444; --line: #bbbbbb;
    --link: #000000; --warn: #fff4d6; --good: #e6f4ea;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; }
  figure, .note, tr { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll, details .scroll { overflow: visible; max-height: none; }
  .tools, .gram-control, .readout { display: none; }
  .grams.stepped { display: grid; max-width: none; }
  .chart svg { min-width: 0; max-width: 15cm; }
  .grams { grid-template-columns: repeat(2, 1fr); }
  .layers { font-size: 6.5pt; }
  .layers th, .layers td { padding: .15rem .25rem; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
