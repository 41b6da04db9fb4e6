// Sixteen codes of a block of 8-bit weights, four to a word, as dot4I8Packed reads them: `part` 0 its
// first sixteen columns, 1 its last. q{{ set }} [n, blocks, 2] vec4<u32>, the layout of
// weights_q8.wgsl; code_scale is what a sum of them is multiplied by. Part of dot.wgsl.

fn codes{{ set }}(block: u32, part: u32) -> vec4<u32> {
    return q{{ set }}[block * 2u + part];
}

fn code_scale{{ set }}(block: u32) -> f32 {
    return scale{{ set }}(block);
}
