//! Every shader as WebGPU will see it, and the self-test on a broken one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::HashSet;

use burn::backend::wgpu::{RuntimeOptions, WgpuSetup, try_init_device, wgpu};
use burn::tensor::{Device, DeviceKind, Tensor};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::case::Seeded;
use super::launch::MOST_BUFFERS;
use super::product::{Product, Size, Weights};
use super::shader::{self, Recipe};
use super::{attend::Attend, floats, registry, weights};
use crate::variant::{Format, Rows, Task, Variant};
use crate::{
    Blocks, CrossAttention, Heads, Matrix, RopeStyle, Scales, Scheme, reference, self_test,
};

thread_local! {
    static RECORD: RefCell<Option<Vec<Recipe>>> = const { RefCell::new(None) };
}

/// Keeps the recipe instead of running it, where this thread records.
pub(super) fn record(recipe: &Recipe) -> bool {
    RECORD.with_borrow_mut(|record| match record {
        Some(record) => {
            record.push(recipe.clone());
            true
        }
        None => false,
    })
}

/// The recipes that `work` would launch.
fn recipes(work: impl FnOnce()) -> HashSet<Recipe> {
    RECORD.set(Some(Vec::new()));
    work();
    RECORD.take().unwrap_or_default().into_iter().collect()
}

/// Launches every form of every kernel with everything that can be beside it.
fn everything(device: &Device) {
    let mut seeded = Seeded { state: 1, device };
    for (flags, k) in [(0u32, 64), (7, 64), (2, 64), (5, 35)] {
        let flag = |bit: u32| flags >> bit & 1 == 1;
        for dim in [24, 23] {
            let x = floats(&seeded.floats([1, 2, dim])).unwrap();
            let keys = floats(&seeded.floats([1, 20 + dim % 2, dim])).unwrap();
            let attend = Attend {
                residual: flag(0).then(|| x.clone()),
                values: keys.clone(),
                x,
                keys,
                settings: CrossAttention {
                    alpha: 1.0,
                    drop_index: flag(1).then_some(3),
                },
            };
            for form in Task::CrossAttention.variants() {
                attend.run(*form);
                attend.run_with_map(*form);
            }
        }
        for task in Task::all() {
            let Task::Product(rows, format) = task else {
                continue;
            };
            let m = match rows {
                Rows::One => 1,
                Rows::Few => 3,
                Rows::Many => 9,
            };
            let n = 12;
            let x = floats(&seeded.floats([1, m, k])).unwrap();
            let size = Size { batch: 1, m, k, n };
            let mut make = || match format {
                Format::Across => {
                    Weights::float(format, floats(&seeded.floats([1, k, n])).unwrap())
                }
                Format::Float => weights(&seeded.matrix(format, [n, k]).unwrap()).unwrap(),
                _ if flag(0) => weights(&seeded.matrix(format, [n, k]).unwrap()).unwrap(),
                _ => {
                    let scheme = match format {
                        Format::Q4 => Scheme::Q4,
                        _ => Scheme::Q8,
                    };
                    let blocks = n * k.div_ceil(32);
                    let scales = Scales::Single(vec![0.0; blocks]);
                    let words = vec![0; blocks * scheme.words()];
                    let blocks = Blocks::new(scheme, [n, k], words, scales).unwrap();
                    weights(&Matrix::packed(blocks, device)).unwrap()
                }
            };
            let (w, v) = (make(), make());
            let bias = floats(&seeded.floats([n])).unwrap();
            let gain = floats(&seeded.floats([k])).unwrap();
            let residual = floats(&seeded.floats([1, m, n])).unwrap();
            let across = format == Format::Across;
            for form in task.variants() {
                let (tiled, staged) = (matches!(form, Variant::Tiled { .. }), form.stages());
                let product = Product {
                    own_weights: flag(2) && *form != Variant::PackedDot,
                    silu: flag(0) && tiled,
                    alpha: flag(1).then_some(0.5),
                    residual: flag(2).then(|| residual.clone()),
                    gate: (flag(0) && !across).then(|| v.clone()),
                    bias: (flag(1) && !across).then(|| bias.clone()),
                    norm: (flag(2) && !across && k == 64 && !staged).then(|| (gain.clone(), 1e-5)),
                    ..Product::new(x.clone(), size, w.clone())
                };
                if product.fits() {
                    product.run(*form);
                }
            }
        }
    }
    for style in [RopeStyle::Half, RopeStyle::Interleaved] {
        for head in [12, 6, 256] {
            let heads = Heads {
                heads: 2,
                kv_heads: 1,
                head,
                style,
            };
            let cache = [(); 2].map(|()| seeded.floats([1, 4, head]));
            let table = seeded.floats([4, head / 2]);
            let qkv = seeded.floats([1, 4 * head]);
            let (queries, [keys, values]) =
                crate::rope_append(qkv.clone(), &table, &table, cache, 1, heads);
            crate::attention(queries, &keys, &values, 1, heads);
            crate::rope_attention(qkv, &table, &table, [keys, values], 1, heads);
        }
    }
    for head in [12, 6, 256] {
        crate::self_attention(seeded.floats([2, 3, 6 * head]), 2);
    }
    for k in [24, 23] {
        let (x, gain) = (seeded.floats([1, 2, k]), seeded.floats([k]));
        crate::rms_norm(x.clone(), &gain, 1e-5);
        crate::layer_norm(x, &gain, &gain, 1e-5);
    }
    for format in [Format::Float, Format::Q4, Format::Q8] {
        let table = seeded.matrix(format, [5, 64]).unwrap();
        crate::next_token(seeded.floats([5]), &table);
    }
}

fn gpu(kind: DeviceKind) -> Device {
    Device::wgpu(kind)
}

/// Valid without any optional feature but the one it is written for, inside WebGPU's default limits,
/// every binding used.
#[test]
fn every_shader_is_webgpu() {
    let device = gpu(DeviceKind::DefaultDevice);
    let recipes = recipes(|| everything(&device));
    // unpack2x16float is of WGSL's core; naga counts it apart for OpenGL ES.
    let plain = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let (mut files, mut optional) = (HashSet::new(), 0);
    for recipe in &recipes {
        files.insert(recipe.file.name);
        files.extend(recipe.parts.iter().map(|(part, _)| part.name));
        let text = recipe.template(false).complete();
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|e| panic!("{}\n{recipe:?}", e.emit_to_string(&text)));
        let flag = |name: &str| recipe.constants.get(name) == Some(&1);
        let wanted = [
            ("SUBGROUP", Capabilities::SUBGROUP),
            ("HALVES", Capabilities::SHADER_FLOAT16),
        ];
        let wanted = wanted.into_iter().filter(|(name, _)| flag(name));
        let allowed = wanted.fold(plain, |all, (_, feature)| all | feature);
        assert_eq!(
            allowed.contains(Capabilities::SHADER_FLOAT16),
            text.contains("enable")
        );
        let info = Validator::new(ValidationFlags::all(), allowed)
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}\n{recipe:?}", e.emit_to_string(&text)));
        if allowed != plain {
            optional += 1;
            let without = Validator::new(ValidationFlags::all(), plain).validate(&module);
            assert!(without.is_err(), "{recipe:?} does without its feature");
        }
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let (mut storage, mut memory) = (0, 0);
        for (handle, variable) in module.global_variables.iter() {
            let used = !info.get_entry_point(0)[handle].is_empty();
            match variable.space {
                naga::AddressSpace::Storage { .. } => storage += 1,
                naga::AddressSpace::WorkGroup => memory += layouter[variable.ty].size,
                _ => {}
            }
            assert!(
                used || variable.binding.is_none(),
                "{:?} is bound and not used\n{recipe:?}",
                variable.name
            );
        }
        let [x, y, z] = module.entry_points[0].workgroup_size;
        let threads = x * y * z;
        assert!(
            storage <= MOST_BUFFERS && memory <= 16 * 1024 && threads <= 256,
            "{storage} buffers, {memory} bytes, {threads} threads\n{recipe:?}"
        );
    }
    let all: HashSet<_> = shader::ALL.iter().map(|file| file.name).collect();
    assert_eq!(files, all, "files no kernel was made of");
    assert!(optional > 20, "{optional} shaders with a feature");
    assert!(recipes.len() > 100, "{} shaders", recipes.len());
}

/// A kernel that computes something else is found, named and not run again; results stay right.
#[test]
fn the_self_test_switches_a_broken_shader_off() {
    // A device of its own, since what is switched off stays off.
    let device = gpu(DeviceKind::Cpu);
    let Some(cube) = super::device(&device) else {
        panic!("no kernels on {device:?}");
    };
    let report = pollster::block_on(self_test(&device));
    assert_eq!(report.switched_off, []);
    let forms = |task: Task| registry::forms(&cube, task);
    let count: usize = Task::all().into_iter().map(|task| forms(task).len()).sum();
    assert_eq!(report.checked, count);

    registry::edit(&cube, shader::CROSS_ATTENTION, "<= score", "< score");
    registry::edit(&cube, shader::CROSS_MIX, "<= own", "< own");
    registry::edit(
        &cube,
        shader::ATTENTION,
        "turned[width + low] = k.x",
        "turned[width + low] = k.y",
    );
    registry::edit(&cube, shader::WEIGHTS_Q4, "chunk;", "chunk; }");
    registry::edit(&cube, shader::DOT, "* 256 +", "* 255 +");
    let report = pollster::block_on(self_test(&device));
    let off: HashSet<_> = report
        .switched_off
        .iter()
        .map(|d| (d.task, d.variant))
        .collect();
    let broken = |task: &Task| match task {
        Task::Product(_, format) | Task::NextToken(format) => *format == Format::Q4,
        _ => false,
    };
    let mut want =
        HashSet::from([1, 8].map(|lanes| (Task::CrossAttention, Variant::Fused { lanes })));
    for task in Task::all().into_iter().filter(broken) {
        want.extend(forms(task).into_iter().map(|variant| (task, variant)));
    }
    want.insert((Task::Product(Rows::Many, Format::Q8), Variant::PackedDot));
    want.insert((Task::CrossAttention, Variant::Spread { lanes: 16 }));
    want.insert((Task::RopeAttention, Variant::Only));
    assert_eq!(off, want);
    assert_eq!(
        registry::variant(&cube, Task::CrossAttention),
        Some(Variant::Split)
    );
    assert_eq!(
        registry::variant(&cube, Task::Product(Rows::One, Format::Q4)),
        None
    );

    let mut seeded = Seeded {
        state: 5,
        device: &device,
    };
    let [x, keys, values] = [[1, 1, 8], [1, 30, 8], [1, 30, 8]].map(|shape| seeded.floats(shape));
    let settings = CrossAttention {
        alpha: 1.0,
        drop_index: Some(9),
    };
    let got = crate::cross_attention(x.clone(), keys.clone(), values.clone(), settings);
    let want = reference::cross_attention(x, keys, values, settings);
    near(got, want);
    let matrix = seeded.matrix(Format::Q4, [4, 32]).unwrap();
    let x = seeded.floats([1, 1, 32]);
    let got = crate::linear(x.clone(), &matrix, Default::default());
    near(got, reference::linear(x, &matrix, Default::default()));
}

fn near(got: Tensor<3>, want: Tensor<3>) {
    let [got, want] = [got, want].map(|t| t.into_data().try_to_vec::<f32>().unwrap());
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() < 1e-4, "{got} instead of {want}");
    }
}

/// What a device refuses ends the next reading, and that one alone.
#[test]
fn a_refusal_is_told_to_who_reads_next() {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let Ok(adapter) = pollster::block_on(instance.request_adapter(&Default::default())) else {
        panic!("no adapter");
    };
    let wanted = wgpu::DeviceDescriptor {
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let (handle, queue) = pollster::block_on(adapter.request_device(&wanted)).unwrap();
    let setup = WgpuSetup {
        backend: adapter.get_info().backend,
        instance,
        adapter,
        device: handle.clone(),
        queue,
    };
    let device = Device::new(try_init_device(setup, RuntimeOptions::default()).unwrap());
    super::open::hear(&super::device(&device).unwrap(), &handle);
    let ones = || pollster::block_on(crate::read_floats(Tensor::<1>::ones([3], &device)));
    assert_eq!(ones(), Ok(vec![1.0; 3]));
    // Larger than any device allows.
    let _ = handle.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 1 << 60,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let error = ones().unwrap_err().to_string();
    assert!(error.contains("uffer"), "{error}");
    assert_eq!(ones(), Ok(vec![1.0; 3]));
}
