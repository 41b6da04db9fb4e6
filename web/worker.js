// The engine's worker: loads the program that its address names and starts it. Whatever keeps it
// from starting is told to the page as an engine would tell it.
const here = new URL(import.meta.url);
const engine = here.searchParams.get("engine") === "gpu" ? "engine-gpu" : "engine-cpu";

const tell = (message) => postMessage([JSON.stringify({ unusable: { message } })]);

// A lost graphics device answers nothing any more, and the program in wait of it never learns.
if (engine === "engine-gpu" && self.GPUAdapter) {
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...wanted) {
    const device = await request.apply(this, wanted);
    self.device = device;
    device.lost.then((lost) => tell(`the graphics device was lost (${lost.message || lost.reason})`));
    return device;
  };
}

try {
  const { default: start } = await import(new URL(`${engine}.js`, here));
  await start();
} catch (error) {
  tell(`its program could not be started (${error.message}); reload the page`);
}
