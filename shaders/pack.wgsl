// Activations in fixed point, for dot.wgsl: every block of 32 along k gets a scale of its own, and a
// number two balanced digits of eight bits,
//
//     x = scale * (256 high + low),  high in -127..127, low in -128..127,  scale = largest |x| / 32639
//
// No number moves by more than half its block's scale: as 16-bit fixed point, sixteen bits in two
// operands of dot4I8Packed. Blocks whose largest number is under 1e-30 become zero.
//
// A thread packs a block. Bindings, in order:
//     x        [rows, k]    f32 (vec4 where k is a multiple of 32)
//     packed   written: a block of a row is 16 words, eight of high digits and eight of low ones,
//              four numbers to a word, the first in the lowest byte; behind all blocks their scales,
//              f32 bits, in the same order
//     info[0]  rows, blocks of a row, blocks in all, unused
//     info[1]  k, unused
//
// Limits: any rows and k; x finite (an infinite number makes its block's scale infinite, and whether
// NaN is seen is left to the device). WGSL's packed_4x8_integer_dot_product, for pack4xI8.
// Launched by crates/adem-kernels/src/gpu/packed.rs

{{ bindings }}

const MOST = 32639.0;

// Eight numbers along k and what they are multiplied by.
struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
    scale: f32,
}

// The upper digits of four numbers: what is left is a lower digit.
fn upper(codes: vec4<i32>) -> vec4<i32> {
    return (codes + vec4<i32>(128)) >> vec4<u32>(8u);
}

fn put(at: u32, values: vec4<f32>) {
    let codes = vec4<i32>(round(values));
    let high = upper(codes);
    packed[at] = pack4xI8(high);
    packed[at + 8u] = pack4xI8(codes - high * 256);
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
    let row = index / info[0].y;
    let chunk = index % info[0].y * 4u;
    var most = vec4<f32>(0.0);
//@for i in 4
    let eight_$i = operand(0u, row, chunk + $iu);
    most = max(most, max(abs(eight_$i.low), abs(eight_$i.high)));
//@end
    let peak = max(max(most.x, most.y), max(most.z, most.w));
    var inverse = 0.0;
    if peak > 1e-30 {
        inverse = MOST / peak;
    }
//@for i in 4
    put(index * 16u + $iu * 2u, eight_$i.low * inverse);
    put(index * 16u + $iu * 2u + 1u, eight_$i.high * inverse);
//@end
    packed[info[0].z * 16u + index] = bitcast<u32>(peak / MOST);
}
