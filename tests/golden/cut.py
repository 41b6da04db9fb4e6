"""Cuts the compact fixtures of this folder out of the full set:  python3 cut.py FULL_SET

Standard library only. The rule: copy what KEEP names; leave out the tensors no test reads (UNREAD); replace a tensor
that equals one of a file cut before it, bit for bit, by an entry in `<file>.links.json`.
"""
import hashlib
import json
import pathlib
import struct
import sys

KEEP = [
    "fusion.json", "fusion.safetensors",
    "llama/*/config.json", "llama/*/model.safetensors", "llama/*/expected.safetensors",
    "llama/*/meta/params.json", "llama/*/meta/consolidated.safetensors",
    "clip/*/config.json", "clip/*/model.safetensors", "clip/*/openai.safetensors", "clip/*/expected.safetensors",
    "adem/*.json", "adem/*.model.safetensors", "adem/*.expected.safetensors", "adem/*.after5.safetensors",
    "adem/*.variants.safetensors",
]
UNREAD = {"last_hidden_state", "pooler_output", "visual.proj", "feats_first_sample"}
SMALLEST_LINK = 256     # bytes; below it a link is no shorter than the tensor


def read(path):
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    header.pop("__metadata__", None)
    return {name: (i["dtype"], i["shape"], data[end + i["data_offsets"][0]:end + i["data_offsets"][1]])
            for name, i in sorted(header.items())}


def write(path, tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(d for _, _, d in tensors.values()))


def main(source, target):
    seen = {}
    for pattern in KEEP:
        for path in sorted(source.glob(pattern)):
            name = path.relative_to(source)
            out = target / name
            out.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".json":
                out.write_bytes(path.read_bytes())
                continue
            kept, links = {}, {}
            for key, tensor in read(path).items():
                if key in UNREAD:
                    continue
                mark = hashlib.sha256(repr(tensor[:2]).encode() + tensor[2]).digest()
                if len(tensor[2]) >= SMALLEST_LINK and mark in seen:
                    links[key] = seen[mark]
                else:
                    kept[key] = tensor
                    seen.setdefault(mark, [name.as_posix(), key])
            write(out, kept)
            if links:
                rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in links.items())
                out.with_suffix(".links.json").write_text("{\n" + rows + "\n}\n")


main(pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent)
