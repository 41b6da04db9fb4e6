// Adaptive masking of score rows (paper, eq. 9), without sorting:
//
//     masked = where(#{m: A[m] <= A[n]} < needed, 0, A[n])
//
// A score is below the row's index-th smallest exactly when at most `index` scores are not above
// it; needed is index + 1, so ties with the threshold are kept. One thread a Vector of scores, no
// workgroup memory and no barrier: threads of a row read the same numbers.
//
// Bindings, in order (f32; Vector is vec4<f32> with WIDE, where N is a multiple of 4, else f32):
//     scores    [rows, N]
//     kept      [rows, N]    with KEPT: written, 1 where a score is kept, else 0
//     masked    [rows, N]    written
//     info[0]   vectors in all, vectors a row, needed
//
// Limits: N * N comparisons a row; none on N and rows.
// Launched by crates/adem-kernels/src/gpu/attend.rs

{{ bindings }}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (group.y * groups.x + group.x) * WORKGROUP + thread;
    let width = info[0].y;
    if index >= info[0].x {
        return;
    }
    let first = index - index % width;
    let score = scores[index];
    // Counts are whole numbers far below 2^24.
    var not_above = Vector(0.0);
    for (var m = 0u; m < width; m += 1u) {
        let other = scores[first + m];
//@if WIDE
        not_above += select(Vector(0.0), Vector(1.0), Vector(other.x) <= score);
        not_above += select(Vector(0.0), Vector(1.0), Vector(other.y) <= score);
        not_above += select(Vector(0.0), Vector(1.0), Vector(other.z) <= score);
        not_above += select(Vector(0.0), Vector(1.0), Vector(other.w) <= score);
//@end
//@unless WIDE
        not_above += select(0.0, 1.0, other <= score);
//@end
    }
    let keep = not_above >= Vector(f32(info[0].z));
//@if KEPT
    kept[index] = select(Vector(0.0), Vector(1.0), keep);
//@end
    masked[index] = select(Vector(0.0), score, keep);
}
