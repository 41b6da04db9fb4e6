// Starts the page. Trunk writes the names of its two files, which change with their content, into
// this script's element.
const names = document.querySelector("script[data-page]").dataset;
const base = document.baseURI;
const { default: start } = await import(new URL(names.page, base));
await start({ module_or_path: new URL(names.wasm, base) });
