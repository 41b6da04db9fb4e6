// y = epilogue(f(x) W^T) in tiles, for many rows of x.
//
//     y[b, m, n] = finish(sum over k of f(x[b, m, k]) * W[n, k]),  f = silu with SILU
//
// A workgroup makes a tile of 64 x 64; each thread SIDE x SIDE of it, strided so that neighbours
// read neighbours. Tiles of 16 numbers in k are staged; quantised weights are unpacked once a
// tile. The pitch of a staged row is 5 vectors, which spreads rows over the memory's banks.
//
// With HALVES, for packed weights and devices with the feature `shader-f16`, tiles are staged in half
// precision: half the memory is read for a product, sums stay f32. Codes are whole numbers that f16
// holds exactly, and their scale is taken after staging. Activations are rounded, by up to 2^-11 of
// themselves: too coarse for float weights (logits within 1e-3), of the size of what 8-bit weights
// have lost already.
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
// Limits: k, m and n any; with HALVES x up to 65504, beyond which it becomes infinite. Workgroup
// memory 10 KiB, 15 KiB with GATE, with HALVES 5.3 and 8 KiB.
// Launched by crates/adem-kernels/src/gpu/product.rs

const TILE = 64u;
const PITCH = 5u;
const STRIDE = TILE / SIDE;

{{ bindings }}

//@if HALVES
alias Staged = vec4<f16>;
var<workgroup> right_scale: array<f32, TILE>;
//@if GATE
var<workgroup> other_scale: array<f32, TILE>;
//@end
//@end
//@unless HALVES
alias Staged = vec4<f32>;
//@end
var<workgroup> left: array<Staged, TILE * PITCH>;
var<workgroup> right: array<Staged, TILE * PITCH>;
//@if GATE
var<workgroup> other: array<Staged, TILE * PITCH>;
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
            left[at] = Staged(staged.low);
            left[at + 1u] = Staged(staged.high);
            staged = Eight(vec4<f32>(0.0), vec4<f32>(0.0), 0.0);
            if column + line < info[0].z && chunk < chunks {
                staged = weights0(weight_batch, column + line, chunk);
            }
//@if HALVES
            // Sixteen numbers from an even chunk on lie in one block.
            right[at] = Staged(staged.low);
            right[at + 1u] = Staged(staged.high);
            if i % 2u == 0u {
                right_scale[line] = staged.scale;
            }
//@end
//@unless HALVES
            right[at] = staged.low * staged.scale;
            right[at + 1u] = staged.high * staged.scale;
//@end
//@if GATE
            staged = Eight(vec4<f32>(0.0), vec4<f32>(0.0), 0.0);
            if column + line < info[0].z && chunk < chunks {
                staged = weights1(weight_batch, column + line, chunk);
            }
//@if HALVES
            // Sixteen numbers from an even chunk on lie in one block.
            other[at] = Staged(staged.low);
            other[at + 1u] = Staged(staged.high);
            if i % 2u == 0u {
                other_scale[line] = staged.scale;
            }
//@end
//@unless HALVES
            other[at] = staged.low * staged.scale;
            other[at + 1u] = staged.high * staged.scale;
//@end
//@end
        }
        workgroupBarrier();
//@for c in SIDE
//@if HALVES
        let scale_$c = right_scale[tx + $cu * STRIDE];
//@if GATE
        let gate_scale_$c = other_scale[tx + $cu * STRIDE];
//@end
//@end
//@end
        for (var k = 0u; k < 4u; k += 1u) {
//@for r in SIDE
            let x_$r = vec4<f32>(left[(ty + $ru * STRIDE) * PITCH + k]);
//@end
//@for c in SIDE
            let staged_$c = right[(tx + $cu * STRIDE) * PITCH + k];
//@if HALVES
            let w_$c = vec4<f32>(staged_$c) * scale_$c;
//@end
//@unless HALVES
            let w_$c = staged_$c;
//@end
//@for r in SIDE
            first_$r_$c = plus_dot(first_$r_$c, x_$r, w_$c);
//@end
//@if GATE
            let gate_$c = other[(tx + $cu * STRIDE) * PITCH + k];
//@if HALVES
            let v_$c = vec4<f32>(gate_$c) * gate_scale_$c;
//@end
//@unless HALVES
            let v_$c = gate_$c;
//@end
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
