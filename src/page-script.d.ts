/** The bundled script of the reports, web/report/main.ts: put there by scripts/page-script.mjs. */
declare module 'page-script:report' {
  const script: string;
  export default script;
}
