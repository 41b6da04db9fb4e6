// Scores of the parameter-free cross-attention (paper, section 3.2), spread over the device:
//
//     A[r, n] = silu(x[r]) . K[n]            f32
//
// The first of two dispatches that are cross_attention.wgsl on devices with more processors than
// there are rows; cross_mix.wgsl is the second. LANES threads share a score, WORKGROUP / LANES
// scores a workgroup.
//
// Bindings, in order (f32; Vector is vec4<f32> where D is a multiple of 4, else f32):
//     x         [rows, D]                    the FFN's input
//     keys      [batch, N, D]                already projected
//     scores    [rows, N]                    written
//     info[0]   rows a picture, N, vectors a row
//
// Workgroups: scores across, rows down. Limits: rows <= 65535; workgroup memory 4 WORKGROUP bytes.
// Launched by crates/adem-kernels/src/gpu/attend.rs

{{ bindings }}

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.y;
    let tokens = info[0].y;
    let width = info[0].z;
    let lane = thread % LANES;
    let n = group.x * (WORKGROUP / LANES) + thread / LANES;
    let query = row * width;
    // Threads past the last score compute it again: all must reach the barrier.
    let key = (row / info[0].x * tokens + min(n, tokens - 1u)) * width;
    var sum = Vector(0.0);
    for (var i = lane; i < width; i += LANES) {
        let v = x[query + i];
        sum = fma(v / (1.0 + exp(-v)), keys[key + i], sum);
    }
    partial[thread] = total(sum);
    workgroupBarrier();
    if lane == 0u && n < tokens {
        var score = 0.0;
        for (var i = 0u; i < LANES; i += 1u) {
            score += partial[thread + i];
        }
        scores[row * tokens + n] = score;
    }
}
