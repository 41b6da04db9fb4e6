// Rotary position embedding (arXiv 2104.09864) of queries and keys, and the new keys and values
// appended to the cache.
//
//     HALF          pair i of a head is elements i and i + head / 2
//     otherwise     pair i is elements 2i and 2i + 1
//     (a, b) -> (a cos - b sin, a sin + b cos)
//
// Bindings, in order (f32):
//     qkv       [tokens, (heads + 2 kv_heads) * head]   queries, keys, values side by side
//     cos_table, sin_table  [positions, head / 2]                   tables from position 0
//     keys      [kv_heads, capacity, head]              written at past .. past + tokens
//     values    [kv_heads, capacity, head]              likewise
//     queries   [tokens, heads * head]                  written
//     info[0]   tokens, heads, kv_heads, head / 2
//     info[1]   past, capacity
//
// One thread a pair. Limits: past + tokens <= capacity and <= positions; head even.
// Launched by crates/adem-kernels/src/gpu/decode.rs

{{ bindings }}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (group.y * groups.x + group.x) * WORKGROUP + thread;
    let heads = info[0].y;
    let kv_heads = info[0].z;
    let pairs = info[0].w;
    let all = heads + 2u * kv_heads;
    let pair = index % pairs;
    let head = index / pairs % all;
    let token = index / (pairs * all);
    if token >= info[0].x {
        return;
    }
//@if HALF
    let low = pair;
    let high = pair + pairs;
//@end
//@unless HALF
    let low = pair * 2u;
    let high = pair * 2u + 1u;
//@end
    let width = pairs * 2u;
    let source = (token * all + head) * width;
    let a = qkv[source + low];
    let b = qkv[source + high];
    let position = info[1].x + token;
    let c = cos_table[position * pairs + pair];
    let s = sin_table[position * pairs + pair];
    if head < heads {
        let place = (token * heads + head) * width;
        queries[place + low] = a * c - b * s;
        queries[place + high] = a * s + b * c;
    } else if head < heads + kv_heads {
        let place = ((head - heads) * info[1].y + position) * width;
        keys[place + low] = a * c - b * s;
        keys[place + high] = a * s + b * c;
    } else {
        let place = ((head - heads - kv_heads) * info[1].y + position) * width;
        values[place + low] = a;
        values[place + high] = b;
    }
}
