//! From a recipe and buffers to a dispatch.

use std::cell::Cell;

use burn::backend::wgpu::{CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, ExecutionMode, KernelId};
use burn_cubecl::cubecl::server::{BufferBinding, KernelArguments, MetadataBindingInfo};

use super::shader::{Binding, Element, File, Recipe, SHARED_PAGES};

/// WebGPU's default limit on the workgroups of one dimension.
pub(crate) const MOST_GROUPS: usize = 65_535;

/// WebGPU's default limit on the storage buffers of a shader.
pub(crate) const MOST_BUFFERS: usize = 8;

thread_local! {
    static LAUNCHES: Cell<u64> = const { Cell::new(0) };
}

/// Dispatches of this thread so far.
pub(crate) fn launches() -> u64 {
    LAUNCHES.get()
}

/// A dispatch in the making: bindings are numbered in the order they are added.
pub(crate) struct Launch<'a> {
    recipe: Recipe,
    buffers: Vec<BufferBinding>,
    on: &'a CubeTensor,
}

impl<'a> Launch<'a> {
    /// A dispatch of `file` with workgroups of `workgroup` threads, on the device of `on`.
    pub fn new(file: File, workgroup: u32, on: &'a CubeTensor) -> Self {
        Self {
            recipe: Recipe {
                file,
                parts: Vec::new(),
                constants: Default::default(),
                bindings: Vec::new(),
                workgroup,
                info: 0,
                #[cfg(test)]
                edits: super::registry::edits(&on.device),
            },
            buffers: Vec::new(),
            on,
        }
    }

    /// Adds a part to the text.
    pub fn part(self, file: File) -> Self {
        self.part_of_set(file, 0)
    }

    /// Adds the part that reads weight set `set`.
    pub fn part_of_set(mut self, file: File, set: u32) -> Self {
        self.recipe.parts.push((file, set));
        self
    }

    /// Specialises the shader.
    pub fn constant(mut self, name: &'static str, value: u32) -> Self {
        self.recipe.constants.insert(name, value);
        self
    }

    /// Specialises the shader where `set`.
    pub fn flag(self, name: &'static str, set: bool) -> Self {
        self.constant(name, u32::from(set))
    }

    /// Binds a tensor that is read.
    pub fn read(self, name: &'static str, element: Element, tensor: &CubeTensor) -> Self {
        self.bind(name, element, tensor, false)
    }

    /// Binds a tensor that is written.
    pub fn write(self, name: &'static str, element: Element, tensor: &CubeTensor) -> Self {
        self.bind(name, element, tensor, true)
    }

    fn bind(
        mut self,
        name: &'static str,
        element: Element,
        tensor: &CubeTensor,
        written: bool,
    ) -> Self {
        self.recipe.bindings.push(Binding {
            name,
            element,
            written,
        });
        self.buffers.push(tensor.handle.clone().binding());
        self
    }

    /// Runs it on `groups` workgroups. `info` is what the shader reads at run time, four words a
    /// vector.
    pub fn dispatch<const N: usize>(mut self, groups: [usize; 3], info: [[u32; 4]; N]) {
        self.recipe.info = N as u32;
        #[cfg(test)]
        if super::tests::record(&self.recipe) {
            return;
        }
        LAUNCHES.set(LAUNCHES.get() + 1);
        let words = info
            .iter()
            .flat_map(|v| [(v[0], v[1]), (v[2], v[3])])
            .map(|(low, high)| u64::from(low) | u64::from(high) << 32)
            .collect();
        let [x, y, z] = groups.map(|n| n as u32);
        let dim = CubeDim::new_1d(self.recipe.workgroup);
        self.on.client.launch(
            Box::new(SourceKernel::new(Source(self.recipe), dim)),
            CubeCount::Static(x, y, z),
            KernelArguments::new()
                .with_buffers(self.buffers)
                .with_info(MetadataBindingInfo::custom(words)),
        );
    }
}

/// A recipe as Burn wants it.
struct Source(Recipe);

impl KernelSource for Source {
    fn source(&self) -> SourceTemplate {
        self.0.template(SHARED_PAGES)
    }

    fn id(&self) -> KernelId {
        // Unchecked: Burn would otherwise count the turns of every loop.
        KernelId::new::<Self>()
            .info(self.0.clone())
            .mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// A tensor of `shape` beside `like`, its contents undefined.
pub(crate) fn empty(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let shape = shape.into();
    let handle = like.client.empty(shape.num_elements() * dtype.size());
    CubeTensor::new_contiguous(
        like.client.clone(),
        like.device.clone(),
        shape,
        handle,
        dtype,
    )
}

/// Workgroups for `count` of them in a row, folded where one dimension does not hold them.
pub(crate) fn folded(count: usize) -> [usize; 2] {
    match count.div_ceil(MOST_GROUPS) {
        0 | 1 => [count.max(1), 1],
        rows => [count.div_ceil(rows), rows],
    }
}

/// Whether every tensor can be bound whole on its device and counted in `u32`.
pub(crate) fn bindable(tensors: &[&CubeTensor]) -> bool {
    tensors.iter().all(|t| {
        let limit = t.client.properties().memory.max_page_size;
        t.handle.size_in_used() <= limit.min(4 * u64::from(u32::MAX))
    })
}
