// Scale number `block` of quantised weights, s{{ set }} halves packed in u32, low half first.
// Unpacking is plain WGSL: no device feature is asked for.
// Part of shaders that read weights_q4.wgsl or weights_q8.wgsl.

fn scale{{ set }}(block: u32) -> f32 {
    return unpack2x16float(s{{ set }}[block / 2u])[block % 2u];
}
