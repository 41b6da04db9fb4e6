// y = alpha x W + residual with W as it lies, one row of it after another.
//
//     y[b, m, n] = alpha * sum over k of x[b, m, k] * W[k, n] + residual[b, m, n]
//
// A thread makes one Vector of columns for ROWS rows; neighbours read neighbours. Neither workgroup
// memory nor barriers.
//
// Bindings, in order (f32; Vector is vec4<f32> where n is a multiple of 4, else f32):
//     x            [batch, m, k]      vec4 with QUADS, where k is a multiple of 4
//     w0           [batch or 1, k, n]
//     residual     [batch, m, n]      with RESIDUAL
//     y            [batch, m, n]      written
//     info[0]      m, k, vectors in n, row blocks a batch
//     info[1]      alpha's bits, 1 where each batch has its own W
//
// Limits: none on m, k and n.
// Launched by crates/adem-kernels/src/gpu/product.rs

{{ bindings }}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let column = (group.y * groups.x + group.x) * WORKGROUP + thread;
    let batch = group.z / info[0].w;
    let row = (group.z % info[0].w) * ROWS;
    let rows = info[0].x;
    let width = info[0].y;
    let columns = info[0].z;
    if column >= columns {
        return;
    }
    let first = batch * info[1].y * width * columns + column;
//@for r in ROWS
    let at_$r = (batch * rows + min(row + $ru, rows - 1u)) * width;
    var sum_$r = Vector(0.0);
//@end
//@if QUADS
    for (var k = 0u; k < width; k += 4u) {
        let w_0 = w0[first + k * columns];
        let w_1 = w0[first + (k + 1u) * columns];
        let w_2 = w0[first + (k + 2u) * columns];
        let w_3 = w0[first + (k + 3u) * columns];
//@for r in ROWS
        let x_$r = x[(at_$r + k) / 4u];
        sum_$r = fma(Vector(x_$r.x), w_0, sum_$r);
        sum_$r = fma(Vector(x_$r.y), w_1, sum_$r);
        sum_$r = fma(Vector(x_$r.z), w_2, sum_$r);
        sum_$r = fma(Vector(x_$r.w), w_3, sum_$r);
//@end
    }
//@end
//@unless QUADS
    for (var k = 0u; k < width; k += 1u) {
        let w = w0[first + k * columns];
//@for r in ROWS
        sum_$r = fma(Vector(x[at_$r + k]), w, sum_$r);
//@end
    }
//@end
    let alpha = bitcast<f32>(info[1].x);
//@for r in ROWS
    if row + $ru < rows {
        let place = (batch * rows + row + $ru) * columns + column;
//@if RESIDUAL
        y[place] = alpha * sum_$r + residual[place];
//@end
//@unless RESIDUAL
        y[place] = alpha * sum_$r;
//@end
    }
//@end
}
