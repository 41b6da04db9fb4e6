// Masks score rows and gathers values by them (paper, eq. 9), spread over the device:
//
//     t   = ascending_sort(A)[index]         by counting: ties are kept as a sort keeps them
//     A   = where(A < t, 0, A)
//     out = residual + alpha * A U           [D]
//
// The second of two dispatches, after cross_scores.wgsl. Every workgroup masks its row anew, then
// makes COLUMNS vectors of the result: WORKGROUP / COLUMNS threads share one, each its part of the
// tokens.
//
// Bindings, in order (f32; Vector is vec4<f32> where D is a multiple of 4, else f32):
//     scores    [rows, N]
//     values    [batch, N, D]
//     residual  [rows, D]                    with RESIDUAL
//     kept      [rows, N]                    with KEPT: written, 1 where a score is kept, else 0
//     out       [rows, D]                    written
//     info[0]   rows a picture, N, vectors a row
//     info[1]   how many scores of a row a kept one is not below (0 keeps all), alpha's bits
//
// Workgroups: columns across, rows down. Limits: N <= TOKENS = OWN WORKGROUP, rows <= 65535.
// Workgroup memory 4 TOKENS + 16 WORKGROUP bytes, at most 8 KiB as launched.
// Launched by crates/adem-kernels/src/gpu/attend.rs

{{ bindings }}

var<workgroup> row_scores: array<f32, TOKENS>;
var<workgroup> partial: array<Vector, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.y;
    let tokens = info[0].y;
    let width = info[0].z;
    for (var n = thread; n < tokens; n += WORKGROUP) {
        row_scores[n] = scores[row * tokens + n];
    }
    workgroupBarrier();

    // A score is below the threshold exactly when too few scores are not above it. What is read of
    // the row serves all of a thread's own scores.
//@for i in OWN
    let own_$i = row_scores[min(thread + $iu * WORKGROUP, tokens - 1u)];
    var not_above_$i = 0u;
//@end
    for (var m = 0u; m < tokens; m += 1u) {
        let other = row_scores[m];
//@for i in OWN
        not_above_$i += u32(other <= own_$i);
//@end
    }
    workgroupBarrier();
//@for i in OWN
    if thread + $iu * WORKGROUP < tokens {
        let keep = not_above_$i >= info[1].x;
        row_scores[thread + $iu * WORKGROUP] = select(0.0, own_$i, keep);
//@if KEPT
        if group.x == 0u {
            kept[row * tokens + thread + $iu * WORKGROUP] = f32(keep);
        }
//@end
    }
//@end
    workgroupBarrier();

    let column = group.x * COLUMNS + thread % COLUMNS;
    let first = row / info[0].x * tokens * width + min(column, width - 1u);
    var sum = Vector(0.0);
    for (var n = thread / COLUMNS; n < tokens; n += WORKGROUP / COLUMNS) {
        sum += row_scores[n] * values[first + n * width];
    }
    partial[thread] = sum;
    workgroupBarrier();
    if thread < COLUMNS && column < width {
        var whole = Vector(0.0);
        for (var i = thread; i < WORKGROUP; i += COLUMNS) {
            whole += partial[i];
        }
        whole *= bitcast<f32>(info[1].y);
//@if RESIDUAL
        whole += residual[row * width + column];
//@end
        out[row * width + column] = whole;
    }
}
