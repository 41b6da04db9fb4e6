// Eight numbers of a column of the right operand, 4-bit weights: q{{ set }} [n, padded k / 8]
// packed u32, two's complement nibbles in the order of order_q4.wgsl; s{{ set }} one scale a block
// of 32, see scale_*.wgsl. Part of linear.wgsl, matmul.wgsl and next_token.wgsl.

fn weights{{ set }}(batch: u32, column: u32, chunk: u32) -> Eight {
    let at = column * info[0].y + chunk;
    let word = bitcast<i32>(q{{ set }}[at]);
    let low = vec4<i32>(word << 28u, word << 20u, word << 12u, word << 4u);
    let high = vec4<i32>(word << 24u, word << 16u, word << 8u, word);
    return Eight(
        vec4<f32>(low >> vec4<u32>(28u)),
        vec4<f32>(high >> vec4<u32>(28u)),
        scale{{ set }}(at / 4u),
    );
}
