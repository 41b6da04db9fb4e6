// Self-attention in one dispatch with an online softmax (arXiv 1805.02867): causal over the KV
// cache, with grouped queries (arXiv 2305.13245), or with PACKED of an encoder's tokens over one
// another:
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
// With PACKED, instead of the first three:
//     qkv       [batch, tokens, 3 heads * head]   queries, keys and values side by side
//     out       [batch, tokens, heads * head]     written
//
// Limits: head <= TILE * SHARE; tokens and batch <= 65535. Workgroup memory 4 (TILE SHARE + 2 TILE) bytes.
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
//@if PACKED
    let row = group.z * info[0].x + token;
    let at = (row * heads + head) * width;
    let seen = info[0].x;
    // Numbers from one position's key to the next one's, and where the first lies.
    let stride = 3u * heads * width;
    let first = group.z * seen * stride + (heads + head) * width;
    for (var d = thread; d < width; d += TILE) {
        query[d] = qkv[row * stride + head * width + d] * bitcast<f32>(info[1].z);
    }
//@end
//@unless PACKED
    let at = (token * heads + head) * width;
    let seen = info[1].x + token + 1u;
    let stride = width;
    let first = head / info[0].z * info[1].y * width;
    for (var d = thread; d < width; d += TILE) {
        query[d] = queries[at + d] * bitcast<f32>(info[1].z);
    }
//@end
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
            let key = first + (base + thread) * stride;
            for (var d = 0u; d < width; d += 1u) {
//@if PACKED
                score += query[d] * qkv[key + d];
//@end
//@unless PACKED
                score += query[d] * keys[key + d];
//@end
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
            let value = first + (base + s) * stride + thread;
//@for i in SHARE
            if thread + $iu * TILE < width {
//@if PACKED
                mixed_$i += weight * qkv[value + heads * width + $iu * TILE];
//@end
//@unless PACKED
                mixed_$i += weight * values[value + $iu * TILE];
//@end
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
