// y = epilogue(x W^T) with integer products, for packed weights and many rows of x in fixed point.
//
//     y[m, n] = finish(sum over blocks b of sx[m, b] * sw[n, b] *
//                      sum over the block of (256 high + low)[m, k] * code[n, k])
//
// The inner sum is exact: four products of 8-bit numbers are one dot4I8Packed, and a block's sum of
// both digits stays below 2^28. Digits and codes are whole, so all that is lost against f32 is what
// pack.wgsl rounds.
//
// A workgroup makes a tile of 64 x 64, each thread SIDE x SIDE of it, strided so that neighbours
// read neighbours. A block of 32 along k is staged at a time, in vectors of 16 bytes; pitches of 5
// and 3 vectors spread rows over the memory's banks.
//
// Bindings, in order:
//     packed       [m] rows as pack.wgsl writes them, vec4
//     q0, s0       see codes_*.wgsl and scale_*.wgsl
//     q1, s1       with GATE
//     bias         [n]       with BIAS
//     residual     [m, n]    with RESIDUAL
//     y            [m, n]    written
//     info[0]      m, chunks of eight in k (padding included), n, unused
//     info[1]      k, alpha's bits, unused, unused
//
// Limits: k, m and n any, one batch. Workgroup memory 8.5 KiB, 11.8 KiB with GATE. WGSL's
// packed_4x8_integer_dot_product.
// Launched by crates/adem-kernels/src/gpu/packed.rs

const TILE = 64u;
const STRIDE = TILE / SIDE;

{{ bindings }}

// Of a row its high digits 0 to 15 and 16 to 31, then its low ones.
var<workgroup> left: array<vec4<u32>, TILE * 5u>;
var<workgroup> left_scale: array<f32, TILE>;
var<workgroup> right: array<vec4<u32>, TILE * 3u>;
var<workgroup> right_scale: array<f32, TILE>;
//@if GATE
var<workgroup> other: array<vec4<u32>, TILE * 3u>;
var<workgroup> other_scale: array<f32, TILE>;
//@end

// Products of sixteen numbers.
fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z)
        + dot4I8Packed(a.w, b.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.y * TILE;
    let column = group.x * TILE;
    let blocks = info[0].y / 4u;
    let scales = info[0].x * blocks * 4u;
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
    for (var block = 0u; block < blocks; block += 1u) {
        for (var i = thread; i < TILE * 4u; i += WORKGROUP) {
            let line = i / 4u;
            let at = (row + line) * blocks + block;
            var digits = vec4<u32>(0u);
            if row + line < info[0].x {
                digits = packed[at * 4u + i % 4u];
            }
            left[line * 5u + i % 4u] = digits;
        }
        for (var i = thread; i < TILE; i += WORKGROUP) {
            let at = (row + i) * blocks + block;
            var scale = 0.0;
            if row + i < info[0].x {
                scale = bitcast<f32>(packed[scales + at / 4u][at % 4u]);
            }
            left_scale[i] = scale;
            scale = 0.0;
            if column + i < info[0].z {
                scale = code_scale0((column + i) * blocks + block);
            }
            right_scale[i] = scale;
//@if GATE
            scale = 0.0;
            if column + i < info[0].z {
                scale = code_scale1((column + i) * blocks + block);
            }
            other_scale[i] = scale;
//@end
        }
        for (var i = thread; i < TILE * 2u; i += WORKGROUP) {
            let line = i / 2u;
            let at = (column + line) * blocks + block;
            var bytes = vec4<u32>(0u);
            if column + line < info[0].z {
                bytes = codes0(at, i % 2u);
            }
            right[line * 3u + i % 2u] = bytes;
//@if GATE
            bytes = vec4<u32>(0u);
            if column + line < info[0].z {
                bytes = codes1(at, i % 2u);
            }
            other[line * 3u + i % 2u] = bytes;
//@end
        }
        workgroupBarrier();
//@for r in SIDE
        let row_$r = ty + $ru * STRIDE;
        let high_$r = left[row_$r * 5u];
        let high_too_$r = left[row_$r * 5u + 1u];
        let low_$r = left[row_$r * 5u + 2u];
        let low_too_$r = left[row_$r * 5u + 3u];
        let scale_$r = left_scale[row_$r];
//@end
//@for c in SIDE
        let column_$c = tx + $cu * STRIDE;
        let w_$c = right[column_$c * 3u];
        let w_too_$c = right[column_$c * 3u + 1u];
        let w_scale_$c = right_scale[column_$c];
//@for r in SIDE
        let upper_$r_$c = dot16(high_$r, w_$c) + dot16(high_too_$r, w_too_$c);
        let lower_$r_$c = dot16(low_$r, w_$c) + dot16(low_too_$r, w_too_$c);
        let sum_$r_$c = f32(upper_$r_$c * 256 + lower_$r_$c);
        first_$r_$c = fma(sum_$r_$c, scale_$r * w_scale_$c, first_$r_$c);
//@end
//@if GATE
        let v_$c = other[column_$c * 3u];
        let v_too_$c = other[column_$c * 3u + 1u];
        let v_scale_$c = other_scale[column_$c];
//@for r in SIDE
        let upper_v_$r_$c = dot16(high_$r, v_$c) + dot16(high_too_$r, v_too_$c);
        let lower_v_$r_$c = dot16(low_$r, v_$c) + dot16(low_too_$r, v_too_$c);
        let sum_v_$r_$c = f32(upper_v_$r_$c * 256 + lower_v_$r_$c);
        second_$r_$c = fma(sum_v_$r_$c, scale_$r * v_scale_$c, second_$r_$c);
//@end
//@end
//@end
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
        finish(0u, y_row, y_column, first[i], gated);
    }
}
