// Adaptive masking of score rows (paper, eq. 9), without sorting:
//
//     masked = where(#{m: A[m] <= A[n]} < needed, 0, A[n])
//
// A score is below the row's index-th smallest exactly when at most `index` scores are not above
// it; needed is index + 1, so ties with the threshold are kept. One thread a score; threads of a
// row read the same scores, so no workgroup memory and no barrier.
//
// Bindings, in order (f32):
//     scores    [rows, N]
//     kept      [rows, N]    with KEPT: written, 1 where a score is kept, else 0
//     masked    [rows, N]    written
//     info[0]   rows * N, N, needed
//
// Limits: N * N comparisons a row; no limit on N or rows.
// Launched by crates/adem-kernels/src/gpu/attend.rs

{{ bindings }}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (group.y * groups.x + group.x) * WORKGROUP + thread;
    let tokens = info[0].y;
    if index >= info[0].x {
        return;
    }
    let first = index - index % tokens;
    let score = scores[index];
    var not_above = 0u;
    for (var m = 0u; m < tokens; m += 1u) {
        not_above += u32(scores[first + m] <= score);
    }
    let keep = not_above >= info[0].z;
//@if KEPT
    kept[index] = f32(keep);
//@end
    masked[index] = select(0.0, score, keep);
}
