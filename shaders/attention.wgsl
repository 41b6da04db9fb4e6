// Self-attention in one dispatch with an online softmax (arXiv 1805.02867): causal over the KV
// cache, with grouped queries (arXiv 2305.13245), or with PACKED of an encoder's tokens over one
// another:
//
//     out[t, h] = softmax(q[t, h] . K[h / group, s] / sqrt(head), s <= past + t) V[h / group]
//
// With APPEND of one new token, which is turned and put into the cache on the way: the work of
// rope_append.wgsl, whose header has the formula and HALF. The new position is scored from workgroup
// memory and never read from the cache; the first query head of a group writes it there.
//
// One workgroup a query head and token. Positions are taken TILE at a time: each thread scores
// one, then each thread gathers its share of the head's width.
//
// Bindings, in order (f32; Vector is vec4<f32> where head is a multiple of 4, else f32):
//     queries   [tokens, heads * head]       as Vector
//     keys      [kv_heads, capacity, head]   as Vector
//     values    [kv_heads, capacity, head]
//     out       [tokens, heads * head]       written
//     info[0]   tokens, heads, heads a key head, head
//     info[1]   past, capacity, the scores' scale as bits
// With PACKED, instead of the first three:
//     keys      [batch, tokens, 3 heads * head]   as Vector: queries, keys and values side by side
//     values    the same
//     out       [batch, tokens, heads * head]     written
// With APPEND, instead of queries:
//     qkv       [1, (heads + 2 kv_heads) * head]  queries, keys and values side by side
//     cos_table, sin_table  [positions, head / 2] tables from position 0
//     keys, values                                written at past
//
// Limits: head <= TILE * SHARE; tokens and batch <= 65535; with APPEND one token, head even, past <
// capacity and positions. Workgroup memory 4 (TILE SHARE + 2 TILE) bytes, with APPEND 8 TILE SHARE
// more.
// Launched by crates/adem-kernels/src/gpu/decode.rs

{{ bindings }}

var<workgroup> query: array<Vector, QUERY>;
var<workgroup> scores: array<f32, TILE>;
var<workgroup> weights: array<f32, TILE>;
//@if APPEND
// The new token's query and key, number by number.
var<workgroup> turned: array<f32, TILE * SHARE * 2u>;
//@end

//@if APPEND
fn vector(d: u32) -> Vector {
//@if WIDE
    return Vector(turned[d * 4u], turned[d * 4u + 1u], turned[d * 4u + 2u], turned[d * 4u + 3u]);
//@end
//@unless WIDE
    return turned[d];
//@end
}
//@end

@compute @workgroup_size(TILE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let head = group.x;
    let token = group.y;
    let heads = info[0].y;
    let width = info[0].w;
    let vectors = width / NUMBERS;
    let scale = bitcast<f32>(info[1].z);
//@if PACKED
    let row = group.z * info[0].x + token;
    let at = (row * heads + head) * width;
    let seen = info[0].x;
    // Numbers from one position's key to the next one's, and where the first lies.
    let stride = 3u * heads * width;
    let first = group.z * seen * stride + (heads + head) * width;
    let first_value = first + heads * width;
    for (var d = thread; d < vectors; d += TILE) {
        query[d] = keys[(row * stride + head * width) / NUMBERS + d] * scale;
    }
    workgroupBarrier();
//@end
//@unless PACKED
    let at = (token * heads + head) * width;
    let stride = width;
    let first = head / info[0].z * info[1].y * width;
    let first_value = first;
//@if APPEND
    let seen = info[1].x;
    let pairs = width / 2u;
    let key = (heads + head / info[0].z) * width;
    let value = key + heads / info[0].z * width;
    for (var pair = thread; pair < pairs; pair += TILE) {
//@if HALF
        let low = pair;
        let high = pair + pairs;
//@end
//@unless HALF
        let low = pair * 2u;
        let high = pair * 2u + 1u;
//@end
        let c = cos_table[seen * pairs + pair];
        let s = sin_table[seen * pairs + pair];
        let q = vec2<f32>(qkv[at + low], qkv[at + high]) * scale;
        let k = vec2<f32>(qkv[key + low], qkv[key + high]);
        turned[low] = q.x * c - q.y * s;
        turned[high] = q.x * s + q.y * c;
        turned[width + low] = k.x * c - k.y * s;
        turned[width + high] = k.x * s + k.y * c;
    }
    workgroupBarrier();
    let place = first + seen * width;
    let writes = head % info[0].z == 0u;
    var part = 0.0;
    for (var d = thread; d < vectors; d += TILE) {
        query[d] = vector(d);
        let fresh = vector(vectors + d);
        part += total(query[d] * fresh);
        if writes {
            keys[place / NUMBERS + d] = fresh;
        }
    }
    scores[thread] = part;
    workgroupBarrier();
//@end
//@unless APPEND
    let seen = info[1].x + token + 1u;
    for (var d = thread; d < vectors; d += TILE) {
        query[d] = queries[at / NUMBERS + d] * scale;
    }
    workgroupBarrier();
//@end
//@end

//@if APPEND
    // The new position is the first that is seen.
    var largest = 0.0;
    for (var s = 0u; s < min(TILE, vectors); s += 1u) {
        largest += scores[s];
    }
    workgroupBarrier();
    var sum = 1.0;
//@for i in SHARE
    var mixed_$i = 0.0;
    if thread + $iu * TILE < width {
        mixed_$i = qkv[value + thread + $iu * TILE];
        if writes {
            values[place + thread + $iu * TILE] = mixed_$i;
        }
    }
//@end
//@end
//@unless APPEND
    var largest = -3.0e38;
    var sum = 0.0;
//@for i in SHARE
    var mixed_$i = 0.0;
//@end
//@end
    for (var base = 0u; base < seen; base += TILE) {
        let count = min(TILE, seen - base);
        var score = -3.0e38;
        if thread < count {
            let start = (first + (base + thread) * stride) / NUMBERS;
            var products = Vector(0.0);
            for (var d = 0u; d < vectors; d += 1u) {
                products = fma(query[d], keys[start + d], products);
            }
            score = total(products);
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
            let start = first_value + (base + s) * stride + thread;
//@for i in SHARE
            if thread + $iu * TILE < width {
                mixed_$i += weight * values[start + $iu * TILE];
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
