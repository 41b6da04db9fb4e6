// transformers.js on random weights: theirs.html?shape=S|M|V&dtype=fp32|q8|q4&device=wasm|webgpu&steps=N
// Leaves its figure in data-figure of <body>: tokens a second, or milliseconds a picture for V; and in
// data-first the milliseconds from navigation to the end of the first text.
import {
  AutoModel, AutoModelForCausalLM, Tensor, env,
} from "./node_modules/@huggingface/transformers/dist/transformers.min.js";

const PROMPT = 16;

const asked = new URLSearchParams(location.search);
const [shape, dtype, device] = ["shape", "dtype", "device"].map((name) => asked.get(name));
const steps = Number(asked.get("steps"));

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = new URL("./models/", location.href).href;
env.useBrowserCache = false;
env.backends.onnx.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", location.href).href;
env.backends.onnx.wasm.numThreads = 1;

function ids(length) {
  const values = BigInt64Array.from({ length }, (_, i) => BigInt(3 + ((i * 37) % 200)));
  return new Tensor("int64", values, [1, length]);
}

// Times of the tokens of one greedy generation.
async function times(model, count) {
  const at = [];
  const streamer = { put: () => at.push(performance.now()), end: () => {} };
  const attention_mask = new Tensor("int64", new BigInt64Array(PROMPT).fill(1n), [1, PROMPT]);
  await model.generate({
    inputs: ids(PROMPT), attention_mask, do_sample: false,
    max_new_tokens: count, min_new_tokens: count, streamer,
  });
  return at.slice(1); // The first call hands over the prompt.
}

async function decoder() {
  const model = await AutoModelForCausalLM.from_pretrained(shape, { dtype, device });
  await times(model, steps);
  document.body.dataset.first = performance.now();
  const at = await times(model, steps + 1);
  return ((at.length - 1) * 1000) / (at.at(-1) - at[0]);
}

async function vision() {
  const model = await AutoModel.from_pretrained(shape, { dtype, device });
  const pixel_values = new Tensor("float32", new Float32Array(3 * 224 * 224).fill(0.1), [1, 3, 224, 224]);
  const look = async () => {
    const start = performance.now();
    const { last_hidden_state } = await model({ pixel_values });
    if (!Number.isFinite(last_hidden_state.data[0])) throw new Error("not a number");
    return performance.now() - start;
  };
  await look();
  const all = [];
  for (let i = 0; i < (device === "webgpu" ? 1 : 5); i++) all.push(await look());
  return all.sort((a, b) => a - b)[all.length >> 1];
}

const body = document.body;
try {
  body.dataset.figure = await (shape === "V" ? vision() : decoder());
  body.dataset.state = "done";
} catch (error) {
  body.textContent = String(error?.stack ?? error);
  body.dataset.state = "failed";
}
