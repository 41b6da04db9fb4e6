// y = epilogue(f(x) W^T) in tiles, for many rows of x.
//
//     y[b, m, n] = finish(sum over k of f(x[b, m, k]) * W[n, k]),  f = silu with SILU
//
// A workgroup makes a tile of 64 x 64; each thread SIDE x SIDE of it, strided so that neighbours
// read neighbours. Tiles of 16 numbers in k are staged; quantised weights are unpacked once a
// tile. The pitch of a staged row is 5 vectors, which spreads rows over the memory's banks.
//
// Bindings, in order:
//     x            [batch, m, k]      f32 (vec4 where k is a multiple of 8)
//     w0 | q0, s0  see weights_*.wgsl
//     w1 | q1, s1  with GATE
//     bias         [n]                with BIAS
//     residual     [batch, m, n]      with RESIDUAL
//     y            [batch, m, n]      written
//     info[0]      m, chunks of eight in k (padding included), n, unused
//     info[1]      k, alpha's bits, unused, 1 where each batch has its own weights
//
// Limits: k, m and n any. Workgroup memory 10 KiB, 15 KiB with GATE.
// Launched by crates/adem-kernels/src/gpu/product.rs

const TILE = 64u;
const PITCH = 5u;
const STRIDE = TILE / SIDE;

{{ bindings }}

var<workgroup> left: array<vec4<f32>, TILE * PITCH>;
var<workgroup> right: array<vec4<f32>, TILE * PITCH>;
//@if GATE
var<workgroup> other: array<vec4<f32>, TILE * PITCH>;
//@end

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let batch = group.z;
    let weight_batch = batch * info[1].w;
    let row = group.y * TILE;
    let column = group.x * TILE;
    let chunks = info[0].y;
    let tx = thread % STRIDE;
    let ty = thread / STRIDE;
//@for r in SIDE
//@for c in SIDE
    var first_$r_$c = 0.0;
//@if GATE
    var second_$r_$c = 0.0;
//@end
//@end
//@end
    for (var base = 0u; base < chunks; base += 2u) {
        for (var i = thread; i < TILE * 2u; i += WORKGROUP) {
            let line = i / 2u;
            let chunk = base + i % 2u;
            let at = line * PITCH + i % 2u * 2u;
            var staged = Eight(vec4<f32>(0.0), vec4<f32>(0.0), 0.0);
            if row + line < info[0].x && chunk < chunks {
                staged = operand(batch, row + line, chunk);
//@if SILU
                staged.low = staged.low / (1.0 + exp(-staged.low));
                staged.high = staged.high / (1.0 + exp(-staged.high));
//@end
            }
            left[at] = staged.low;
            left[at + 1u] = staged.high;
            staged = Eight(vec4<f32>(0.0), vec4<f32>(0.0), 0.0);
            if column + line < info[0].z && chunk < chunks {
                staged = weights0(weight_batch, column + line, chunk);
            }
            right[at] = staged.low * staged.scale;
            right[at + 1u] = staged.high * staged.scale;
//@if GATE
            staged = Eight(vec4<f32>(0.0), vec4<f32>(0.0), 0.0);
            if column + line < info[0].z && chunk < chunks {
                staged = weights1(weight_batch, column + line, chunk);
            }
            other[at] = staged.low * staged.scale;
            other[at + 1u] = staged.high * staged.scale;
//@end
        }
        workgroupBarrier();
        for (var k = 0u; k < 4u; k += 1u) {
//@for r in SIDE
            let x_$r = left[(ty + $ru * STRIDE) * PITCH + k];
//@end
//@for c in SIDE
            let w_$c = right[(tx + $cu * STRIDE) * PITCH + k];
//@for r in SIDE
            first_$r_$c = plus_dot(first_$r_$c, x_$r, w_$c);
//@end
//@if GATE
            let v_$c = other[(tx + $cu * STRIDE) * PITCH + k];
//@for r in SIDE
            second_$r_$c = plus_dot(second_$r_$c, x_$r, v_$c);
//@end
//@end
//@end
        }
        workgroupBarrier();
    }
    var first = array<f32, SIDE * SIDE>(
//@for r in SIDE
//@for c in SIDE
        first_$r_$c,
//@end
//@end
    );
//@if GATE
    var second = array<f32, SIDE * SIDE>(
//@for r in SIDE
//@for c in SIDE
        second_$r_$c,
//@end
//@end
    );
//@end
    for (var i = 0u; i < SIDE * SIDE; i += 1u) {
        var gated = 0.0;
//@if GATE
        gated = second[i];
//@end
        let y_row = row + ty + i / SIDE * STRIDE;
        let y_column = column + tx + i % SIDE * STRIDE;
        finish(batch, y_row, y_column, first[i], gated);
    }
}
