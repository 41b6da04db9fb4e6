// Packed weights to floats, y[n, k] = code * scale, for products of many rows that read them as they
// read float weights.
//
// A thread unpacks eight numbers. Bindings, in order:
//     q0, s0   see weights_q4.wgsl and weights_q8.wgsl
//     y        [n, k]    vec4<f32>, written
//     info[0]  n, chunks of eight in k, chunks in all, unused
//
// Limits: k a multiple of 32.
// Launched by crates/adem-kernels/src/gpu/product.rs

{{ bindings }}

// Eight numbers along k and what they are multiplied by.
struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
    scale: f32,
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (group.y * groups.x + group.x) * WORKGROUP + thread;
    if index >= info[0].z {
        return;
    }
    let chunks = info[0].y;
    let column = index / chunks;
    let chunk = index % chunks;
    let eight = weights0(0u, column, chunk);
    let at = quads(chunk) + column * chunks * 2u;
    y[at.x] = eight.low * eight.scale;
    y[at.y] = eight.high * eight.scale;
}
