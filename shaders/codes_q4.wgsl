// Sixteen codes of a block of 4-bit weights, four to a word, as dot4I8Packed reads them: `part` 0 its
// first sixteen columns, 1 its last. q{{ set }} [n, blocks] vec4<u32>, the layout of
// weights_q4.wgsl. A nibble in the upper half of a byte is its number times 16, sign and all, so
// nothing is extended: code_scale, what a sum is multiplied by, takes the 16 back. Part of dot.wgsl.

fn codes{{ set }}(block: u32, part: u32) -> vec4<u32> {
    let words = q{{ set }}[block];
    return (words << vec4<u32>(4u - part * 4u)) & vec4<u32>(0xf0f0f0f0u);
}

fn code_scale{{ set }}(block: u32) -> f32 {
    return scale{{ set }}(block) * 0.0625;
}
