"""Times a step of ADEM-VL tuning in PyTorch, for comparison with `adem train --bench`:

    python3 torch_step.py '{"model": {...}, "rows": 2, "tokens": 512, "steps": 10, "device": "cuda"}'

`model` holds the sizes as `adem.json` does (llama, clip, adem).  Random weights; frozen ones in bf16 (f32 with
"precision": "f32") without gradients, what is trained in f32 under autocast, fusion scores and loss in f32, fused AdamW.
Prints one JSON object.
"""
import json
import math
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

WARM_UP = 2


class Frozen(nn.Module):
    """A linear layer without gradients of its own."""

    def __init__(self, inputs, outputs, dtype, device, bias=False):
        super().__init__()
        weight = torch.randn(outputs, inputs, device=device, dtype=dtype) / math.sqrt(inputs)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", torch.zeros(outputs, device=device, dtype=dtype) if bias else None)

    def forward(self, x):
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


class Projector(nn.Module):
    def __init__(self, width, hidden, dim, device):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden, device=device)
        self.fc2 = nn.Linear(hidden, dim, device=device)

    def forward(self, x):
        return self.fc2(F.silu(self.fc1(x)))


class SeeBlock(nn.Module):
    """A block of the CLIP encoder, frozen, with its trained adapter beside the MLP."""

    def __init__(self, c, a, dtype, device, dropout):
        super().__init__()
        w = c["width"]
        self.heads, self.scale, self.dropout = c["heads"], a.get("clip_adapter_scale", 0.1), dropout
        self.qkv = Frozen(w, 3 * w, dtype, device, True)
        self.out = Frozen(w, w, dtype, device, True)
        self.up = Frozen(w, 4 * w, dtype, device, True)
        self.down = Frozen(4 * w, w, dtype, device, True)
        inner = a.get("clip_adapter_dim", 12)
        self.fc1 = nn.Linear(w, inner, bias=False, device=device) if inner else None
        self.fc2 = nn.Linear(inner, w, bias=False, device=device) if inner else None

    def forward(self, x):
        b, n, w = x.shape
        h = F.layer_norm(x, (w,))
        q, k, v = (t.reshape(b, n, self.heads, -1).transpose(1, 2) for t in self.qkv(h).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w))
        h = F.layer_norm(x, (w,))
        m = self.up(h)
        m = self.down(m * torch.sigmoid(1.702 * m))
        if self.fc1 is not None:
            m = m + self.scale * self.fc2(F.dropout(F.gelu(self.fc1(h)), self.dropout))
        return x + m


class ReadBlock(nn.Module):
    """A block of the LLaMA decoder, frozen."""

    def __init__(self, c, dtype, device):
        super().__init__()
        d, f, self.heads = c["dim"], c["ffn_hidden"], c["n_heads"]
        self.kv = c.get("n_kv_heads") or self.heads
        hd = d // self.heads
        self.q = Frozen(d, d, dtype, device)
        self.k = Frozen(d, self.kv * hd, dtype, device)
        self.v = Frozen(d, self.kv * hd, dtype, device)
        self.o = Frozen(d, d, dtype, device)
        self.w1 = Frozen(d, f, dtype, device)
        self.w3 = Frozen(d, f, dtype, device)
        self.w2 = Frozen(f, d, dtype, device)

    def forward(self, x, turn, fuse):
        b, t, d = x.shape
        h = F.rms_norm(x, (d,))
        q, k, v = (p(h).reshape(b, t, n, -1).transpose(1, 2)
                   for p, n in ((self.q, self.heads), (self.k, self.kv), (self.v, self.kv)))
        q, k = turned(q, turn), turned(k, turn)
        k, v = (z.repeat_interleave(self.heads // self.kv, 1) for z in (k, v))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(b, t, d))
        h = F.rms_norm(x, (d,))
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h)) + fuse(h)


def turned(x, turn):
    cos, sin = turn
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


class Model(nn.Module):
    def __init__(self, sizes, dtype, device, dropout):
        super().__init__()
        llama, clip, adem = sizes["llama"], sizes["clip"], sizes["adem"]
        self.sizes, self.dtype = sizes, dtype
        self.tokens = Frozen(llama["dim"], llama["vocab_size"], dtype, device)
        self.head = Frozen(llama["dim"], llama["vocab_size"], dtype, device)
        self.patches = Frozen(3 * clip["patch"] ** 2, clip["width"], dtype, device)
        run = clip.get("run_layers", -1)
        run = clip["layers"] - 1 if run < 0 else run
        self.see = nn.ModuleList(SeeBlock(clip, adem, dtype, device, dropout) for _ in range(run))
        self.read = nn.ModuleList(ReadBlock(llama, dtype, device) for _ in range(llama["n_layers"]))
        self.project = Projector(clip["width"], adem["hidden_proj"], llama["dim"], device)
        self.project_cls = Projector(clip["width"], adem["hidden_proj"], llama["dim"], device)
        places = (1, sum(adem["down_sample"]), llama["dim"])
        self.emb1 = nn.Parameter(torch.randn(places, device=device) * 0.02)
        self.emb2 = nn.Parameter(torch.zeros(places, device=device))

    def memory(self, pixels):
        """K and U of the picture, and its [cls] token for the decoder."""
        clip, adem = self.sizes["clip"], self.sizes["adem"]
        cut = F.unfold(pixels, clip["patch"], stride=clip["patch"]).transpose(1, 2)
        x = self.patches(cut)
        x = torch.cat((x.mean(1, keepdim=True), x), 1)
        for block in self.see:
            x = block(x)
        cls, grid = x[:, :1], x[:, 1:]
        side = math.isqrt(grid.shape[1])
        grid = grid.transpose(1, 2).reshape(x.shape[0], -1, side, side)
        pooled = [F.adaptive_avg_pool2d(grid, math.isqrt(n)).flatten(2).transpose(1, 2)
                  for n in adem["down_sample"]]
        v = self.project(torch.cat(pooled, 1)).float() * adem.get("beta", 0.01)
        return v + self.emb1, v + self.emb2, self.project_cls(cls)

    def forward(self, pixels, ids, labels):
        llama, adem = self.sizes["llama"], self.sizes["adem"]
        k, u, cls = self.memory(pixels)
        pk = F.silu(k)
        at = int(adem.get("drop_ratio", 0.1) * k.shape[1])
        alpha = adem.get("alpha", 0.1)

        def fuse(h):
            with torch.autocast(h.device.type, enabled=False):
                s = F.silu(h.float()) @ pk.transpose(1, 2)
                if at:
                    least = s.detach().kthvalue(at + 1, -1, keepdim=True).values
                    s = s.masked_fill(s.detach() < least, 0.0)
                return (alpha * (s @ u)).to(h.dtype)

        h = F.embedding(ids, self.tokens.weight)
        h = torch.cat((h[:, :1], cls.to(h.dtype), h[:, 1:]), 1)
        half = llama["dim"] // llama["n_heads"] // 2
        angle = torch.arange(h.shape[1], device=h.device)[:, None] * (
            llama.get("rope_theta", 10000.0) ** (-torch.arange(half, device=h.device) / half))
        turn = angle.cos(), angle.sin()
        for block in self.read:
            h = block(h, turn, fuse)
        h = F.rms_norm(h, (llama["dim"],))
        # Only places whose next token is learned need logits.
        wanted = labels[:, 1:] >= 0
        return F.cross_entropy(self.head(h[:, :-1][wanted]).float(), labels[:, 1:][wanted])


def main(job):
    device = torch.device(job.get("device", "cuda"))
    dtype = torch.float32 if job.get("precision") == "f32" else torch.bfloat16
    rows, tokens, steps = job["rows"], job["tokens"], job["steps"]
    torch.manual_seed(1)
    model = Model(job["model"], dtype, device, job.get("dropout", 0.1))
    trained = list(model.parameters())
    optimiser = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.02, fused=device.type == "cuda")
    side, vocabulary = job["model"]["clip"]["image_size"], job["model"]["llama"]["vocab_size"]
    pixels = torch.randn(rows, 3, side, side, device=device)
    ids = torch.randint(vocabulary, (rows, tokens - 1), device=device)
    labels = torch.cat((ids[:, :1], torch.full((rows, 1), -1, device=device), ids[:, 1:]), 1).clone()
    labels[:, : tokens // 4] = -1
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            wait()
            started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(pixels, ids, labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    wait()
    seconds = (time.perf_counter() - started) / steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({
        "rows": rows, "tokens": tokens, "steps": steps, "seconds": seconds, "loss": loss.item(),
        "trained": sum(p.numel() for p in trained), "peak_bytes": peak,
        "allocated_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
        "torch": torch.__version__,
    }))


main(json.loads(sys.argv[1]))
