// Eight numbers of a column of the right operand, float weights w{{ set }} [batch or 1, n, k] as
// vec4<f32>, k a multiple of 8. Part of linear.wgsl and matmul.wgsl.

fn weights{{ set }}(batch: u32, column: u32, chunk: u32) -> Eight {
    let at = ((batch * info[0].z + column) * info[0].y + chunk) * 2u;
    return Eight(w{{ set }}[at], w{{ set }}[at + 1u], 1.0);
}
