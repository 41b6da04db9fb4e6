// Normalisation of rows.
//
//     CENTRED     y = (x - mean) / sqrt(mean((x - mean)^2) + eps) * gain + shift  (arXiv 1607.06450)
//     otherwise   y = x / sqrt(mean(x^2) + eps) * gain                            (arXiv 1910.07467)
//
// One workgroup a row. Bindings, in order (f32; Vector is vec4<f32> where k is a multiple of 4, else
// f32):
//     x         [rows, k]
//     gain      [k]
//     shift     [k]           with CENTRED
//     y         [rows, k]     written
//     info[0]   rows, vectors in k, k, eps' bits
//
// Limits: none on rows and k. Workgroup memory 4 WORKGROUP bytes.
// Launched by crates/adem-kernels/src/gpu/norm.rs

{{ bindings }}

var<workgroup> partial: array<f32, WORKGROUP>;

// The sum of a value of every thread, in every thread.
fn over_threads(value: f32, thread: u32) -> f32 {
    partial[thread] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < WORKGROUP; i += 1u) {
        sum += partial[i];
    }
    workgroupBarrier();
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.y * groups.x + group.x;
    let vectors = info[0].y;
    if row >= info[0].x {
        return;
    }
    let width = f32(info[0].z);
    var middle = 0.0;
//@if CENTRED
    var sum = 0.0;
    for (var i = thread; i < vectors; i += WORKGROUP) {
        sum += total(x[row * vectors + i]);
    }
    middle = over_threads(sum, thread) / width;
//@end
    var squares = 0.0;
    for (var i = thread; i < vectors; i += WORKGROUP) {
        let v = x[row * vectors + i] - Vector(middle);
        squares += total(v * v);
    }
    let scale = inverseSqrt(over_threads(squares, thread) / width + bitcast<f32>(info[0].w));
    for (var i = thread; i < vectors; i += WORKGROUP) {
        var v = (x[row * vectors + i] - Vector(middle)) * scale * gain[i];
//@if CENTRED
        v += shift[i];
//@end
        y[row * vectors + i] = v;
    }
}
