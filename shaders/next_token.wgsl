// The most likely token of a row of logits, and its embedding, without leaving the GPU:
//
//     id = argmax(logits)        the lowest id among equals; 2^32 - 1 where a logit is NaN
//     x  = table[id]             float, or codes times scale
//
// One workgroup. Bindings, in order:
//     logits       [vocabulary]  f32
//     w0 | q0, s0  [vocabulary, D], see weights_*.wgsl
//     id           [1]           u32, written
//     embedding    [D]           f32 as vec4, written
//     info[0]      vocabulary, chunks of eight in D, vocabulary
//     info[1]      D
//
// NaN is told by its bits, as compilers may take floats for numbers.
// Limits: D a multiple of 8, of 32 for quantised tables. Workgroup memory 3 KiB.
// Launched by crates/adem-kernels/src/gpu/decode.rs

{{ bindings }}

struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
    scale: f32,
}

var<workgroup> best: array<f32, WORKGROUP>;
var<workgroup> place: array<u32, WORKGROUP>;
var<workgroup> broken: array<u32, WORKGROUP>;

fn is_nan(value: f32) -> u32 {
    return u32((bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
    let vocabulary = info[0].x;
    // Every thread starts from a logit that is there, so that NaN elsewhere cannot name a token
    // that is not.
    var found = min(thread, vocabulary - 1u);
    var top = logits[found];
    var bad = is_nan(top);
    // Several at a time, so that their reads are under way together; past the last it is met again.
    for (var i = thread + WORKGROUP; i < vocabulary; i += WORKGROUP * AHEAD) {
//@for a in AHEAD
        let at_$a = min(i + $au * WORKGROUP, vocabulary - 1u);
        let logit_$a = logits[at_$a];
//@end
//@for a in AHEAD
        bad |= is_nan(logit_$a);
        if logit_$a > top {
            top = logit_$a;
            found = at_$a;
        }
//@end
    }
    best[thread] = top;
    place[thread] = found;
    broken[thread] = bad;
    workgroupBarrier();
    for (var step = WORKGROUP / 2u; step > 0u; step /= 2u) {
        if thread < step {
            broken[thread] |= broken[thread + step];
            let logit = best[thread + step];
            let other = place[thread + step];
            if logit > best[thread] || (logit == best[thread] && other < place[thread]) {
                best[thread] = logit;
                place[thread] = other;
            }
        }
        workgroupBarrier();
    }
    let winner = place[0];
    if thread == 0u {
        id[0] = select(winner, 0xffffffffu, broken[0] != 0u);
    }
    for (var chunk = thread; chunk < info[0].y; chunk += WORKGROUP) {
        let row = weights0(0u, winner, chunk);
        let quad = quads(chunk);
        embedding[quad.x] = row.low * row.scale;
        embedding[quad.y] = row.high * row.scale;
    }
}
