// Eight numbers of a column of the right operand, float, read one by one, zero past k's end:
// w{{ set }} [batch or 1, n, k], or with ACROSS [batch or 1, k, n]. Part of linear.wgsl and
// matmul.wgsl.

fn weights{{ set }}_at(batch: u32, column: u32, k: u32) -> f32 {
    let width = info[1].x;
    if k >= width {
        return 0.0;
    }
//@if ACROSS
    return w{{ set }}[(batch * width + k) * info[0].z + column];
//@end
//@unless ACROSS
    return w{{ set }}[(batch * info[0].z + column) * width + k];
//@end
}

fn weights{{ set }}_quad(batch: u32, column: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(
        weights{{ set }}_at(batch, column, k),
        weights{{ set }}_at(batch, column, k + 1u),
        weights{{ set }}_at(batch, column, k + 2u),
        weights{{ set }}_at(batch, column, k + 3u),
    );
}

fn weights{{ set }}(batch: u32, column: u32, chunk: u32) -> Eight {
    let k = chunk * 8u;
    return Eight(
        weights{{ set }}_quad(batch, column, k),
        weights{{ set }}_quad(batch, column, k + 4u),
        1.0,
    );
}
