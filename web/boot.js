// Starts the page. The names of its two files, which change with their content, and the digest of
// the program stand in this script's element.
const names = document.querySelector("script[data-page]").dataset;
const base = document.baseURI;
const program = fetch(new URL(names.wasm, base), { integrity: names.digest ?? "" });
const { default: start } = await import(new URL(names.page, base));
await start({ module_or_path: program });
