// Causal self-attention over the KV cache in one dispatch, with grouped queries
// (arXiv 2305.13245) and an online softmax (arXiv 1805.02867):
//
//     out[t, h] = softmax(q[t, h] . K[h / group, s] / sqrt(head), s <= past + t) V[h / group]
//
// One workgroup a query head and token. Positions are taken TILE at a time: each thread scores
// one, then each thread gathers its share of the head's width.
//
// Bindings, in order (f32):
//     queries   [tokens, heads * head]
//     keys      [kv_heads, capacity, head]
//     values    [kv_heads, capacity, head]
//     out       [tokens, heads * head]       written
//     info[0]   tokens, heads, heads a key head, head
//     info[1]   past, capacity, the scores' scale as bits
//
// Limits: head <= TILE * SHARE; tokens <= 65535. Workgroup memory 4 (TILE SHARE + 2 TILE) bytes.
// Launched by crates/adem-kernels/src/gpu/decode.rs

{{ bindings }}

var<workgroup> query: array<f32, TILE * SHARE>;
var<workgroup> scores: array<f32, TILE>;
var<workgroup> weights: array<f32, TILE>;

@compute @workgroup_size(TILE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let head = group.x;
    let token = group.y;
    let heads = info[0].y;
    let width = info[0].w;
    let seen = info[1].x + token + 1u;
    let cache = head / info[0].z * info[1].y;
    let at = (token * heads + head) * width;

    for (var d = thread; d < width; d += TILE) {
        query[d] = queries[at + d] * bitcast<f32>(info[1].z);
    }
    workgroupBarrier();

    var largest = -3.0e38;
    var sum = 0.0;
//@for i in SHARE
    var mixed_$i = 0.0;
//@end
    for (var base = 0u; base < seen; base += TILE) {
        let count = min(TILE, seen - base);
        var score = -3.0e38;
        if thread < count {
            score = 0.0;
            let key = (cache + base + thread) * width;
            for (var d = 0u; d < width; d += 1u) {
                score += query[d] * keys[key + d];
            }
        }
        scores[thread] = score;
        workgroupBarrier();
        var highest = largest;
        for (var s = 0u; s < count; s += 1u) {
            highest = max(highest, scores[s]);
        }
        weights[thread] = exp(score - highest);
        workgroupBarrier();
        // The first tile has nothing before it to be rescaled; exp of -3e38 is exactly 0.
        let before = exp(largest - highest);
        largest = highest;
        sum *= before;
//@for i in SHARE
        mixed_$i *= before;
//@end
        for (var s = 0u; s < count; s += 1u) {
            let weight = weights[s];
            sum += weight;
            let value = (cache + base + s) * width + thread;
//@for i in SHARE
            if thread + $iu * TILE < width {
                mixed_$i += weight * values[value + $iu * TILE];
            }
//@end
        }
        workgroupBarrier();
    }
//@for i in SHARE
    if thread + $iu * TILE < width {
        out[at + thread + $iu * TILE] = mixed_$i / sum;
    }
//@end
}
