"""Writes ONNX models with random weights for the peers' side of `cargo xtask bench peers`.

    python onnx_models.py OUT

OUT/S and OUT/M become LLaMA decoders, OUT/V a vision transformer, each in the layout that
transformers.js loads (config.json, onnx/model*.onnx) as float, q8 and q4. The graphs use the fused
operators of ONNX Runtime that the published exports use (GroupQueryAttention, MatMulNBits,
SkipSimplifiedLayerNormalization), so that the peer runs at its best. Shapes are those of SHAPES in
tests/browser/peers.rs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

MICROSOFT = "com.microsoft"
BLOCK = 32
DECODERS = {
    "S": dict(dim=256, layers=6, heads=8, kv_heads=8, ffn=688, vocab=4096),
    "M": dict(dim=576, layers=30, heads=9, kv_heads=3, ffn=1536, vocab=49152),
}
VIT = dict(image=224, patch=16, width=384, layers=12, heads=6)
CONTEXT = 2048


class Graph:
    """Nodes and weights of one model; `q4` packs every matrix product's weight."""

    def __init__(self, q4):
        self.q4 = q4
        self.random = np.random.default_rng(1)
        self.nodes, self.weights, self.count = [], [], 0

    def constant(self, name, array):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind, inputs, outputs=1, domain="", **attributes):
        """Adds a node; gives its output, or its outputs where there are several."""
        self.count += 1
        names = [f"{kind.lower()}_{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, inputs, names, name=names[0], domain=domain, **attributes)
        )
        return names[0] if outputs == 1 else names

    def linear(self, x, name, n_in, n_out):
        scale = n_in**-0.5
        if not self.q4:
            weight = self.random.standard_normal((n_in, n_out), dtype=np.float32) * scale
            return self.op("MatMul", [x, self.constant(name, weight)])
        blocks = -(-n_in // BLOCK)
        packed = self.random.integers(0, 256, (n_out, blocks, BLOCK // 2), dtype=np.uint8)
        scales = np.full(n_out * blocks, scale / 4, dtype=np.float32)
        inputs = [x, self.constant(f"{name}.q4", packed), self.constant(f"{name}.scale", scales)]
        return self.op(
            "MatMulNBits", inputs, domain=MICROSOFT, K=n_in, N=n_out, bits=4, block_size=BLOCK
        )

    def save(self, path, inputs, outputs):
        graph = helper.make_graph(self.nodes, "model", inputs, outputs, self.weights)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def decoder(path, q4, dim, layers, heads, kv_heads, ffn, vocab):
    g, head = Graph(q4), dim // heads
    ones = np.ones(dim, dtype=np.float32)
    angles = np.outer(np.arange(CONTEXT), 1e4 ** (-np.arange(0, head, 2) / head))
    cos = g.constant("cos", np.cos(angles).astype(np.float32))
    sin = g.constant("sin", np.sin(angles).astype(np.float32))
    one = g.constant("one", np.array([1], dtype=np.int64))
    rows = g.op("ReduceSum", ["attention_mask", one], keepdims=0)
    last = g.op("Cast", [g.op("Sub", [rows, one])], to=TensorProto.INT32)
    length = g.op("Gather", [g.op("Shape", ["attention_mask"]), one], axis=0)
    scalar = g.constant("scalar", np.array([], dtype=np.int64))
    total = g.op("Cast", [g.op("Reshape", [length, scalar])], to=TensorProto.INT32)

    table = g.random.standard_normal((vocab, dim), dtype=np.float32) * 0.02
    x = g.op("Gather", [g.constant("embed", table), "input_ids"])
    norm = g.op("SimplifiedLayerNormalization", [x, g.constant("norm", ones)], epsilon=1e-5, axis=-1)
    inputs = [value(n, TensorProto.INT64, ["batch_size", t]) for n, t in
              (("input_ids", "sequence_length"), ("attention_mask", "total_sequence_length"))]
    outputs = [value("logits", TensorProto.FLOAT, ["batch_size", "sequence_length", vocab])]
    for i in range(layers):
        kv = kv_heads * head
        q = g.linear(norm, f"{i}.q", dim, dim)
        k, v = g.linear(norm, f"{i}.k", dim, kv), g.linear(norm, f"{i}.v", dim, kv)
        past = [f"past_key_values.{i}.{part}" for part in ("key", "value")]
        present = [f"present.{i}.{part}" for part in ("key", "value")]
        # transformers.js knows dimensions by these names.
        before, after = ([
            "batch_size", kv_heads, f"{which}_sequence_length", head
        ] for which in ("past", "total"))
        inputs += [value(n, TensorProto.FLOAT, before) for n in past]
        outputs += [value(n, TensorProto.FLOAT, after) for n in present]
        attended = f"attended_{i}"
        g.nodes.append(helper.make_node(
            "GroupQueryAttention", [q, k, v, *past, last, total, cos, sin], [attended, *present],
            domain=MICROSOFT, num_heads=heads, kv_num_heads=kv_heads, do_rotary=1,
        ))
        out = g.linear(attended, f"{i}.o", dim, dim)
        norm, _, _, x = g.op("SkipSimplifiedLayerNormalization",
                             [x, out, g.constant(f"{i}.norm", ones)], 4, MICROSOFT, epsilon=1e-5)
        gate, up = g.linear(norm, f"{i}.gate", dim, ffn), g.linear(norm, f"{i}.up", dim, ffn)
        silu = g.op("Mul", [gate, g.op("Sigmoid", [gate])])
        down = g.linear(g.op("Mul", [silu, up]), f"{i}.down", ffn, dim)
        norm, _, _, x = g.op("SkipSimplifiedLayerNormalization",
                             [x, down, g.constant(f"{i}.next", ones)], 4, MICROSOFT, epsilon=1e-5)
    logits = g.linear(norm, "head", dim, vocab)
    g.nodes.append(helper.make_node("Identity", [logits], ["logits"]))
    g.save(path, inputs, outputs)


def vit(path, q4, image, patch, width, layers, heads):
    g, head = Graph(q4), width // heads
    tokens = (image // patch) ** 2 + 1
    ones, zeros = np.ones(width, dtype=np.float32), np.zeros(width, dtype=np.float32)

    def normed(x, name):
        parts = [g.constant(f"{name}.weight", ones), g.constant(f"{name}.bias", zeros)]
        return g.op("LayerNormalization", [x, *parts], epsilon=1e-6)

    def biased(x, name, n_in, n_out):
        bias = g.constant(f"{name}.bias", np.zeros(n_out, dtype=np.float32))
        return g.op("Add", [g.linear(x, name, n_in, n_out), bias])

    kernel = g.random.standard_normal((width, 3, patch, patch), dtype=np.float32) * 0.02
    x = g.op("Conv", ["pixel_values", g.constant("patches", kernel)], strides=[patch, patch])
    flat = g.constant("flat", np.array([1, width, tokens - 1], dtype=np.int64))
    x = g.op("Transpose", [g.op("Reshape", [x, flat])], perm=[0, 2, 1])
    cls = g.constant("cls", np.zeros((1, 1, width), dtype=np.float32))
    places = g.random.standard_normal((1, tokens, width), dtype=np.float32) * 0.02
    x = g.op("Add", [g.op("Concat", [cls, x], axis=1), g.constant("places", places)])
    split = g.constant("split", np.array([1, tokens, heads, head], dtype=np.int64))
    merge = g.constant("merge", np.array([1, tokens, width], dtype=np.int64))
    scale = g.constant("scale", np.array(head**-0.5, dtype=np.float32))
    for i in range(layers):
        norm = normed(x, f"{i}.ln1")
        parts = [g.op("Reshape", [biased(norm, f"{i}.{p}", width, width), split]) for p in "qkv"]
        q, v = (g.op("Transpose", [parts[p]], perm=[0, 2, 1, 3]) for p in (0, 2))
        k = g.op("Transpose", [parts[1]], perm=[0, 2, 3, 1])
        weights = g.op("Softmax", [g.op("Mul", [g.op("MatMul", [q, k]), scale])], axis=-1)
        seen = g.op("Transpose", [g.op("MatMul", [weights, v])], perm=[0, 2, 1, 3])
        x = g.op("Add", [x, biased(g.op("Reshape", [seen, merge]), f"{i}.o", width, width)])
        wide = biased(normed(x, f"{i}.ln2"), f"{i}.fc1", width, 4 * width)
        x = g.op("Add", [x, biased(g.op("Gelu", [wide]), f"{i}.fc2", 4 * width, width)])
    last = normed(x, "last")
    g.nodes.append(helper.make_node("Identity", [last], ["last_hidden_state"]))
    g.save(path, [value("pixel_values", TensorProto.FLOAT, [1, 3, image, image])],
           [value("last_hidden_state", TensorProto.FLOAT, [1, tokens, width])])


def write(folder, build, shape, config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    onnx_folder = folder / "onnx"
    build(onnx_folder / "model.onnx", False, **shape)
    build(onnx_folder / "model_q4.onnx", True, **shape)
    quantize_dynamic(onnx_folder / "model.onnx", onnx_folder / "model_quantized.onnx",
                     weight_type=QuantType.QUInt8, op_types_to_quantize=["MatMul"],
                     extra_options={"DefaultTensorType": TensorProto.FLOAT})


def main(out):
    for name, shape in DECODERS.items():
        write(out / name, decoder, shape, dict(
            model_type="llama", architectures=["LlamaForCausalLM"], vocab_size=shape["vocab"],
            hidden_size=shape["dim"], intermediate_size=shape["ffn"],
            num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
            num_key_value_heads=shape["kv_heads"], head_dim=shape["dim"] // shape["heads"],
            max_position_embeddings=CONTEXT, bos_token_id=1, eos_token_id=2,
        ))
    write(out / "V", vit, VIT, dict(
        model_type="vit", architectures=["ViTModel"], hidden_size=VIT["width"],
        image_size=VIT["image"], patch_size=VIT["patch"],
        num_hidden_layers=VIT["layers"], num_attention_heads=VIT["heads"],
    ))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
