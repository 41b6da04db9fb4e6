// y = epilogue(x W^T) straight from memory, for one or a few rows of x: matrix-vector products and
// small matrix products.
//
//     y[b, m, n] = finish(sum over k of x[b, m, k] * W[n, k])
//     with NORM, x is RMSNorm(x) = x * gain / sqrt(mean(x^2) + eps); the mean is gathered in the
//     same pass over k, so it costs no pass of its own
//
// LANES threads share ROWS * COLUMNS sums and walk k together, eight numbers each. How they add up
// what they have is one of three:
//     ALONE      there is one lane, and nothing to add up
//     SHARED     workgroup memory and a barrier
//     SUBGROUP   exchanges inside a subgroup, neither memory nor barrier; wants the device feature
//                `subgroups` and subgroups of LANES threads at least. How WGSL deals threads out to
//                subgroups is left to the device, so threads are numbered by their place in
//                subgroups. That subgroups are full it does not promise either: the self-test shows.
//
// Bindings, in order:
//     x            [batch, m, k]      f32 (vec4 where k is a multiple of 8)
//     w0 | q0, s0  see weights_*.wgsl
//     w1 | q1, s1  with GATE
//     gain         [k]                with NORM, vec4
//     bias         [n]                with BIAS
//     residual     [batch, m, n]      with RESIDUAL
//     y            [batch, m, n]      written
//     info[0]      m, chunks of eight in k (padding included), n, row blocks a batch
//     info[1]      k, alpha's bits, eps' bits, 1 where each batch has its own weights
//
// Limits: with NORM k a multiple of 8, of 32 for q4; else k, m and n any. Workgroup memory with
// SHARED 4 (ROWS COLUMNS SETS + ROWS) WORKGROUP bytes.
// Launched by crates/adem-kernels/src/gpu/product.rs

{{ bindings }}

//@if SHARED
var<workgroup> partial: array<f32, SUMS * WORKGROUP>;

fn gathered(sum: u32, thread: u32) -> f32 {
    var value = 0.0;
    let first = sum * WORKGROUP + thread - thread % LANES;
    for (var i = 0u; i < LANES; i += 1u) {
        value += partial[first + i];
    }
    return value;
}
//@end
//@if SUBGROUP
// The sum of what LANES neighbours in a subgroup have.
fn gathered(value: f32) -> f32 {
    var sum = value;
//@for s in STEPS
    sum += subgroupShuffleXor(sum, 1u << $su);
//@end
    return sum;
}
//@end

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
//@if SUBGROUP
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) size: u32,
    @builtin(subgroup_invocation_id) place: u32,
//@end
//@unless SUBGROUP
    @builtin(local_invocation_index) thread: u32,
//@end
) {
//@if SUBGROUP
    let thread = subgroup * size + place;
//@end
    let lane = thread % LANES;
    let column = ((group.y * groups.x + group.x) * (WORKGROUP / LANES) + thread / LANES) * COLUMNS;
//@if ALONE
    if column >= info[0].z {
        return;
    }
//@end
    let batch = group.z / info[0].w;
    let row = (group.z % info[0].w) * ROWS;
    let weight_batch = batch * info[1].w;
    let chunks = info[0].y;
    // Threads past the edge that share sums compute the last row or column again and write nothing:
    // they must reach where sums are added up, and must not read outside.
//@for r in ROWS
    let row_$r = min(row + $ru, info[0].x - 1u);
//@if NORM
    var square_$r = 0.0;
//@end
//@end
//@for c in COLUMNS
    let column_$c = min(column + $cu, info[0].z - 1u);
//@for r in ROWS
    var first_$r_$c = 0.0;
//@if GATE
    var second_$r_$c = 0.0;
//@end
//@end
//@end
    for (var chunk = lane; chunk < chunks; chunk += LANES) {
//@if NORM
        let quad = quads(chunk);
        let gain_low = gain[quad.x];
        let gain_high = gain[quad.y];
//@end
//@for r in ROWS
        var x_$r = operand(batch, row_$r, chunk);
//@if NORM
        square_$r = plus_dot(square_$r, x_$r.low, x_$r.low);
        square_$r = plus_dot(square_$r, x_$r.high, x_$r.high);
        x_$r.low *= gain_low;
        x_$r.high *= gain_high;
//@end
//@end
//@for c in COLUMNS
        let w_$c = weights0(weight_batch, column_$c, chunk);
//@for r in ROWS
//@if SCALED
        let part_$r_$c = plus_dot(plus_dot(0.0, w_$c.low, x_$r.low), w_$c.high, x_$r.high);
        first_$r_$c = fma(part_$r_$c, w_$c.scale, first_$r_$c);
//@end
//@unless SCALED
        first_$r_$c = plus_dot(first_$r_$c, w_$c.low, x_$r.low);
        first_$r_$c = plus_dot(first_$r_$c, w_$c.high, x_$r.high);
//@end
//@end
//@if GATE
        let v_$c = weights1(weight_batch, column_$c, chunk);
//@for r in ROWS
        let part_v_$r_$c = plus_dot(plus_dot(0.0, v_$c.low, x_$r.low), v_$c.high, x_$r.high);
        second_$r_$c = fma(part_v_$r_$c, v_$c.scale, second_$r_$c);
//@end
//@end
//@end
    }

//@if SHARED
//@for r in ROWS
//@if NORM
    partial[(SUMS - 1u - $ru) * WORKGROUP + thread] = square_$r;
//@end
//@for c in COLUMNS
    partial[($ru * COLUMNS + $cu) * WORKGROUP + thread] = first_$r_$c;
//@if GATE
    partial[((ROWS + $ru) * COLUMNS + $cu) * WORKGROUP + thread] = second_$r_$c;
//@end
//@end
//@end
    workgroupBarrier();
    for (var sum = lane; sum < ROWS * COLUMNS; sum += LANES) {
        let r = sum / COLUMNS;
        var norm = 1.0;
//@if NORM
        let squares = gathered(SUMS - 1u - r, thread);
        norm = inverseSqrt(squares / f32(info[1].x) + bitcast<f32>(info[1].z));
//@end
        var second = 0.0;
//@if GATE
        second = gathered(ROWS * COLUMNS + sum, thread) * norm;
//@end
        finish(batch, row + r, column + sum % COLUMNS, gathered(sum, thread) * norm, second);
    }
//@end
//@if SUBGROUP
//@for r in ROWS
    var norm_$r = 1.0;
//@if NORM
    norm_$r = inverseSqrt(gathered(square_$r) / f32(info[1].x) + bitcast<f32>(info[1].z));
//@end
//@for c in COLUMNS
    let sum_$r_$c = gathered(first_$r_$c) * norm_$r;
    var other_$r_$c = 0.0;
//@if GATE
    other_$r_$c = gathered(second_$r_$c) * norm_$r;
//@end
    if lane == ($ru * COLUMNS + $cu) % LANES {
        finish(batch, row + $ru, column + $cu, sum_$r_$c, other_$r_$c);
    }
//@end
//@end
//@end
//@if ALONE
//@for r in ROWS
    var norm_$r = 1.0;
//@if NORM
    norm_$r = inverseSqrt(square_$r / f32(info[1].x) + bitcast<f32>(info[1].z));
//@end
//@end
    var first = array<f32, ROWS * COLUMNS>(
//@for r in ROWS
//@for c in COLUMNS
        first_$r_$c * norm_$r,
//@end
//@end
    );
//@if GATE
    var second = array<f32, ROWS * COLUMNS>(
//@for r in ROWS
//@for c in COLUMNS
        second_$r_$c * norm_$r,
//@end
//@end
    );
//@end
    for (var i = 0u; i < ROWS * COLUMNS; i += 1u) {
        var other = 0.0;
//@if GATE
        other = second[i];
//@end
        finish(batch, row + i / COLUMNS, column + i % COLUMNS, first[i], other);
    }
//@end
}
