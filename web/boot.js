// Starts the page. The names of its two files, which change with their content, and the digest of
// the program stand in this script's element. Until the page is there, and where it cannot start,
// the document's own words are seen.
const names = document.querySelector("script[data-page]").dataset;
const words = document.querySelector("#boot");
const base = document.baseURI;
try {
  const program = fetch(new URL(names.wasm, base), { integrity: names.digest ?? "" });
  const { default: start } = await import(new URL(names.page, base));
  await start({ module_or_path: program });
  words.remove();
} catch (error) {
  words.textContent = `This page could not be started (${error.message}). Reload it; if that does not help, use a current browser: it needs WebAssembly with SIMD.`;
  throw error;
}
