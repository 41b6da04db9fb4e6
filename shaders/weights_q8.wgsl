// Eight numbers of a column of the right operand, 8-bit weights: q{{ set }} [n, padded k / 4]
// packed u32 read in pairs, two's complement bytes, column 4w + j in byte j of word w;
// s{{ set }} one scale a block of 32, see scale_*.wgsl. Part of linear.wgsl, matmul.wgsl and
// next_token.wgsl.

fn bytes{{ set }}(packed: u32) -> vec4<f32> {
    let word = bitcast<i32>(packed);
    return vec4<f32>(vec4<i32>(word << 24u, word << 16u, word << 8u, word) >> vec4<u32>(24u));
}

fn weights{{ set }}(batch: u32, column: u32, chunk: u32) -> Eight {
    let at = column * info[0].y + chunk;
    let words = q{{ set }}[at];
    return Eight(bytes{{ set }}(words.x), bytes{{ set }}(words.y), scale{{ set }}(at / 4u));
}
