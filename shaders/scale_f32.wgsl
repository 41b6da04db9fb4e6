// Scale number `block` of quantised weights, s{{ set }} f32.
// Part of shaders that read weights_q4.wgsl or weights_q8.wgsl.

fn scale{{ set }}(block: u32) -> f32 {
    return s{{ set }}[block];
}
