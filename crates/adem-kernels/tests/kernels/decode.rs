//! Rotary embedding, KV cache, attention and next token.

use adem_kernels::variant::Format;
use adem_kernels::{
    Blocks, Heads, Matrix, RopeStyle, Scales, Scheme, attention, layer_norm, next_token, reference,
    rms_norm, rope_append, rope_attention, self_attention,
};
use burn::tensor::{DType, Device, Int, Tensor};
use proptest::prelude::*;

use crate::gpu::{Numbers, download, gpu, poison, upload};

fn close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (got - want).abs() <= tolerance * (1.0 + want.abs()),
            "number {i}: {got} instead of {want}"
        );
    }
}

fn heads() -> impl Strategy<Value = Heads> {
    (1usize..4, 1usize..4, 1usize..70, any::<bool>()).prop_map(|(kv, group, pairs, half)| Heads {
        heads: kv * group,
        kv_heads: kv,
        head: pairs * 2,
        style: match half {
            true => RopeStyle::Half,
            false => RopeStyle::Interleaved,
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rope_turns_and_appends(
        heads in heads(),
        (tokens, past, spare) in (1usize..12, 0usize..20, 0usize..5),
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let mut numbers = Numbers::new(seed);
        let positions = past + tokens + spare;
        let angles: Vec<f32> = numbers.many(positions * heads.head / 2);
        let table = [f32::cos, f32::sin].map(|f| angles.iter().map(|a| f(*a * 9.0)).collect::<Vec<_>>());
        let qkv = numbers.many(tokens * (heads.heads + 2 * heads.kv_heads) * heads.head);
        let cache = numbers.many(heads.kv_heads * positions * heads.head);
        let run = |device: &Device| {
            poison(device, &[tokens * heads.heads * heads.head]);
            let shape = [heads.kv_heads, positions, heads.head];
            let width = qkv.len() / tokens;
            let (queries, [keys, values]) = rope_append(
                upload(&qkv, [tokens, width], device),
                &upload(&table[0], [positions, heads.head / 2], device),
                &upload(&table[1], [positions, heads.head / 2], device),
                [upload(&cache, shape, device), upload(&cache, shape, device)],
                past,
                heads,
            );
            [download(queries), download(keys), download(values)]
        };
        for (got, want) in run(&gpu.device).iter().zip(run(&Device::flex())) {
            close(got, &want, 1e-6);
        }
    }

    #[test]
    fn one_token_is_turned_appended_and_attended_in_one(
        heads in heads(),
        (past, spare) in (0usize..150, 0usize..5),
        large in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let mut numbers = Numbers::new(seed);
        let positions = past + 1 + spare;
        let angles: Vec<f32> = numbers.many(positions * heads.head / 2);
        let table = [f32::cos, f32::sin].map(|f| angles.iter().map(|a| f(*a * 9.0)).collect::<Vec<_>>());
        let width = (heads.heads + 2 * heads.kv_heads) * heads.head;
        let mut qkv = numbers.many(width);
        if large {
            qkv[..heads.heads * heads.head].iter_mut().for_each(|q| *q *= 200.0);
        }
        let shape = [heads.kv_heads, positions, heads.head];
        let mut cache = numbers.many(shape.iter().product());
        // What lies from the new token on must not be looked at, nor what follows it changed.
        for head in cache.chunks_mut(positions * heads.head) {
            head[past * heads.head..].fill(f32::NAN);
        }
        let run = |device: &Device| {
            poison(device, &[heads.heads * heads.head]);
            let (out, [keys, values]) = rope_attention(
                upload(&qkv, [1, width], device),
                &upload(&table[0], [positions, heads.head / 2], device),
                &upload(&table[1], [positions, heads.head / 2], device),
                [upload(&cache, shape, device), upload(&cache, shape, device)],
                past,
                heads,
            );
            // NaN is close to nothing.
            let written = |cache: Tensor<3>| -> Vec<f32> {
                download(cache).iter().map(|x| if x.is_nan() { 7.0 } else { *x }).collect()
            };
            [download(out), written(keys), written(values)]
        };
        let tolerance = if large { 1e-3 } else { 2e-5 };
        for (got, want) in run(&gpu.device).iter().zip(run(&Device::flex())) {
            close(got, &want, tolerance);
        }
    }

    #[test]
    fn attention_over_the_cache(
        heads in heads(),
        (tokens, past, spare) in (1usize..66, 0usize..150, 0usize..5),
        large in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let mut numbers = Numbers::new(seed);
        let capacity = past + tokens + spare;
        let mut queries = numbers.many(tokens * heads.heads * heads.head);
        if large {
            queries.iter_mut().for_each(|q| *q *= 200.0);
        }
        let shape = [heads.kv_heads, capacity, heads.head];
        let mut keys = numbers.many(shape.iter().product());
        let mut values = numbers.many(shape.iter().product());
        // What lies past the last token must not be looked at.
        for cache in [&mut keys, &mut values] {
            for head in cache.chunks_mut(capacity * heads.head) {
                head[(past + tokens) * heads.head..].fill(f32::NAN);
            }
        }
        let run = |device: &Device| {
            poison(device, &[queries.len()]);
            download(attention(
                upload(&queries, [tokens, heads.heads * heads.head], device),
                &upload(&keys, shape, device),
                &upload(&values, shape, device),
                past,
                heads,
            ))
        };
        close(&run(&gpu.device), &run(&Device::flex()), if large { 1e-3 } else { 2e-5 });
    }

    #[test]
    fn the_likeliest_token_and_its_embedding(
        (vocabulary, width) in (1usize..3000, 1usize..70),
        levels in 1u32..50,
        format in 0usize..3,
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let format = [Format::Float, Format::Q4, Format::Q8][format];
        let mut numbers = Numbers::new(seed);
        // Few levels make equals; the lowest id is to win.
        let logits: Vec<f32> = (0..vocabulary)
            .map(|_| (numbers.next_u32() % levels) as f32 - 25.0)
            .collect();
        let want = (0..vocabulary).fold(0, |best, i| match logits[i] > logits[best] {
            true => i,
            false => best,
        });
        let device = &gpu.device;
        let table = match format {
            Format::Float => {
                let values = numbers.many(vocabulary * width);
                Matrix::float(upload(&values, [vocabulary, width], device))
            }
            _ => {
                let scheme = if format == Format::Q4 { Scheme::Q4 } else { Scheme::Q8 };
                let count = vocabulary * width.div_ceil(32);
                let words = (0..count * scheme.words()).map(|_| numbers.next_u32()).collect();
                let scales = Scales::Single(numbers.many(count));
                let shape = [vocabulary, width];
                let blocks = Blocks::new(scheme, shape, words, scales).unwrap();
                Matrix::packed(blocks, device)
            }
        };
        poison(device, &[width, 1]);
        let (id, embedding) = next_token(upload(&logits, [vocabulary], device), &table);
        prop_assert_eq!(embedding.dims(), [1, width]);
        prop_assert_eq!(whole(id), vec![want as i64]);
        let row = table.unpacked().narrow(0, want, 1);
        prop_assert_eq!(download(embedding), download(row));

        // A single NaN, and there is no next token.
        let mut logits = logits;
        logits[numbers.next_u32() as usize % vocabulary] = f32::NAN;
        let (id, _) = next_token(upload(&logits, [vocabulary], device), &table);
        prop_assert!(!(0..vocabulary as i64).contains(&whole(id)[0]));
    }

    #[test]
    fn attention_of_all_tokens(
        (batch, tokens, heads, head) in (1usize..4, 1usize..140, 1usize..4, 1usize..80),
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let qkv = Numbers::new(seed).many(batch * tokens * 3 * heads * head);
        let run = |device: &Device| {
            poison(device, &[qkv.len() / 3]);
            let qkv = upload(&qkv, [batch, tokens, 3 * heads * head], device);
            download(self_attention(qkv, heads))
        };
        close(&run(&gpu.device), &run(&Device::flex()), 2e-5);
    }

    #[test]
    fn rows_are_normalised(
        (rows, k) in (1usize..9, 1usize..300),
        size in prop_oneof![Just(1e-3f32), Just(1.0), Just(1e4)],
        seed in any::<u64>(),
    ) {
        let Some(gpu) = gpu() else { return Ok(()) };
        let mut numbers = Numbers::new(seed);
        let x: Vec<f32> = numbers.many(rows * k).iter().map(|x| x * size).collect();
        let (gain, shift) = (numbers.many(k), numbers.many(k));
        let run = |device: &Device| {
            poison(device, &[rows * k]);
            let x = upload(&x, [1, rows, k], device);
            let [gain, shift] = [&gain, &shift].map(|v| upload(v, [k], device));
            let plain = rms_norm(x.clone(), &gain, 1e-5);
            [download(plain), download(layer_norm(x, &gain, &shift, 1e-5))]
        };
        for (got, want) in run(&gpu.device).iter().zip(run(&Device::flex())) {
            close(got, &want, 1e-4);
        }
    }
}

fn whole(ids: Tensor<1, Int>) -> Vec<i64> {
    ids.into_data()
        .convert_dtype(DType::I64)
        .try_to_vec()
        .unwrap()
}

/// The references themselves agree with a cache that is not there.
#[test]
fn attention_of_one_token_alone_is_its_value() {
    let device = Device::flex();
    let heads = Heads {
        heads: 2,
        kv_heads: 1,
        head: 4,
        style: RopeStyle::Half,
    };
    let value = upload::<3>(&[1.0, 2.0, 3.0, 4.0], [1, 1, 4], &device);
    let out = reference::attention(
        Tensor::ones([1, 8], &device),
        &Tensor::ones([1, 1, 4], &device),
        &value,
        0,
        heads,
    );
    assert_eq!(download(out), [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
}
