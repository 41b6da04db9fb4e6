//! Matrix products: `shaders/linear.wgsl`, `shaders/across.wgsl`, `shaders/matmul.wgsl` and
//! `shaders/unpack.wgsl`.

use burn::backend::Cube;
use burn::backend::ops::{ActivationOps, FloatTensorOps};
use burn::backend::wgpu::CubeTensor;
use burn::tensor::DType;

use super::launch::{Launch, MOST_BUFFERS, MOST_GROUPS, bindable, empty, folded};
use super::shader::{self, Element};
use crate::variant::{Format, Variant};

/// Threads of a workgroup of `linear.wgsl`.
pub(super) const DIRECT: u32 = 64;

/// A weight matrix of `n` rows, contiguous.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    pub format: Format,
    /// f32 `[batch or 1, n, k]`, across `[batch or 1, k, n]`, or the codes' words, see
    /// `weights_q4.wgsl` and `weights_q8.wgsl`.
    pub values: CubeTensor,
    /// Of codes: f32, or halves packed in u32.
    pub scales: Option<CubeTensor>,
}

impl Weights {
    /// Float weights.
    pub fn float(format: Format, values: CubeTensor) -> Self {
        Self {
            format,
            values,
            scales: None,
        }
    }

    pub fn tensors(&self) -> impl Iterator<Item = &CubeTensor> {
        std::iter::once(&self.values).chain(&self.scales)
    }

    /// Binds them as set `set`, 0 or 1, and adds the parts that read them.
    pub fn bind<'a>(&self, launch: Launch<'a>, set: u32, k: usize) -> Launch<'a> {
        let [w, q] = match set {
            0 => ["w0", "q0"],
            _ => ["w1", "q1"],
        };
        let (name, element, part) = match self.format {
            Format::Float if k.is_multiple_of(8) => (w, Element::F32x4, shader::WEIGHTS_WIDE),
            Format::Float | Format::Across => (w, Element::F32, shader::WEIGHTS_NARROW),
            Format::Q4 => (q, Element::U32, shader::WEIGHTS_Q4),
            Format::Q8 => (q, Element::U32x2, shader::WEIGHTS_Q8),
        };
        let launch = launch
            .flag("ACROSS", self.format == Format::Across)
            .part_of_set(part, set)
            .read(name, element, &self.values);
        self.bind_scales(launch, set)
    }

    /// Binds packed weights whose codes are read as they are, sixteen at a time.
    pub fn bind_codes<'a>(&self, launch: Launch<'a>, set: u32) -> Launch<'a> {
        let part = match self.format {
            Format::Q4 => shader::CODES_Q4,
            _ => shader::CODES_Q8,
        };
        let name = if set == 0 { "q0" } else { "q1" };
        let launch = launch
            .part_of_set(part, set)
            .read(name, Element::U32x4, &self.values);
        self.bind_scales(launch, set)
    }

    fn bind_scales<'a>(&self, launch: Launch<'a>, set: u32) -> Launch<'a> {
        let s = if set == 0 { "s0" } else { "s1" };
        match &self.scales {
            None => launch,
            Some(scales) if scales.dtype == DType::F32 => launch
                .part_of_set(shader::SCALE_F32, set)
                .read(s, Element::F32, scales),
            Some(scales) => {
                launch
                    .part_of_set(shader::SCALE_F16, set)
                    .read(s, Element::U32, scales)
            }
        }
    }

    /// Of what k must be a multiple so that rows are read in vectors.
    pub fn step(&self) -> usize {
        match self.format {
            Format::Float | Format::Across => 8,
            Format::Q4 | Format::Q8 => 32,
        }
    }

    /// Chunks of eight along k, padding included.
    pub fn chunks(&self, k: usize) -> usize {
        match self.format {
            Format::Float | Format::Across => k.div_ceil(8),
            Format::Q4 | Format::Q8 => k.div_ceil(32) * 4,
        }
    }

    /// As floats `[n, k]`: codes are unpacked where rows are whole blocks, and the floats can be
    /// bound.
    fn unpacked(self, [n, k]: [usize; 2]) -> Self {
        let limit = self.values.client.properties().memory.max_page_size;
        let packed = matches!(self.format, Format::Q4 | Format::Q8);
        if !packed || !k.is_multiple_of(self.step()) || (4 * n * k) as u64 > limit {
            return self;
        }
        let chunks = self.chunks(k);
        let [x, y] = folded((n * chunks).div_ceil(DIRECT as usize));
        let launch = Launch::new(shader::UNPACK, DIRECT, &self.values).part(self.order());
        let floats = empty(&self.values, [n, k], DType::F32);
        self.bind(launch, 0, k)
            .write("y", Element::F32x4, &floats)
            .dispatch(
                [x, y, 1],
                [[n as u32, chunks as u32, (n * chunks) as u32, 0]],
            );
        Self::float(Format::Float, floats)
    }

    /// The part that says which numbers a chunk holds.
    pub fn order(&self) -> shader::File {
        match self.format {
            Format::Q4 => shader::ORDER_Q4,
            _ => shader::ORDER_PLAIN,
        }
    }
}

/// Sizes of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub batch: usize,
    pub m: usize,
    pub k: usize,
    pub n: usize,
}

/// `y = epilogue(f(x) W^T)`; all tensors contiguous f32 on one device.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    /// `[batch, m, k]`.
    pub x: CubeTensor,
    pub size: Size,
    pub weights: Weights,
    /// Each batch has its own weights.
    pub own_weights: bool,
    /// A second matrix of the first's format: `silu(x W^T) * (x V^T)`.
    pub gate: Option<Weights>,
    /// f is SiLU.
    pub silu: bool,
    /// f is RMSNorm with this gain `[k]` and epsilon.
    pub norm: Option<(CubeTensor, f32)>,
    /// `[n]`.
    pub bias: Option<CubeTensor>,
    /// `[batch, m, n]`.
    pub residual: Option<CubeTensor>,
    pub alpha: Option<f32>,
}

impl Product {
    /// A plain product.
    pub fn new(x: CubeTensor, size: Size, weights: Weights) -> Self {
        Self {
            x,
            size,
            weights,
            own_weights: false,
            gate: None,
            silu: false,
            norm: None,
            bias: None,
            residual: None,
            alpha: None,
        }
    }

    /// What it reads.
    fn inputs(&self) -> Vec<&CubeTensor> {
        let mut tensors = vec![&self.x];
        tensors.extend(self.weights.tensors());
        tensors.extend(self.gate.iter().flat_map(Weights::tensors));
        tensors.extend(self.norm.iter().map(|(gain, _)| gain));
        tensors.extend(self.bias.iter().chain(&self.residual));
        tensors
    }

    /// Storage buffers it needs, the result's included.
    pub fn buffers(&self) -> usize {
        self.inputs().len() + 1
    }

    /// Whether the kernels hold it: sizes they can count and bind, and a normalisation only where
    /// rows are read in vectors.
    pub fn fits(&self) -> bool {
        let Size { batch, m, k, n } = self.size;
        let tensors = self.inputs();
        let out = batch.checked_mul(m).and_then(|rows| rows.checked_mul(n));
        let read_in_vectors = k.is_multiple_of(self.weights.step());
        out.is_some_and(|out| out > 0 && out <= u32::MAX as usize / 4)
            && k > 0
            && self.buffers() <= MOST_BUFFERS
            && batch * m.div_ceil(4) <= MOST_GROUPS
            && n.div_ceil(64) <= MOST_GROUPS
            && (self.norm.is_none() || read_in_vectors)
            && bindable(&tensors)
    }

    /// Runs it in the form `variant`: `[batch, m, n]`.
    pub fn run(mut self, variant: Variant) -> CubeTensor {
        let tiled = matches!(variant, Variant::Tiled { .. });
        if !tiled && std::mem::take(&mut self.silu) {
            // Elsewhere threads read x over and over: its exponentials are taken once before.
            let sigmoid = Cube::sigmoid(self.x.clone());
            self.x = Cube::float_mul(self.x, sigmoid);
        }
        match variant {
            Variant::Direct {
                lanes,
                rows,
                columns,
            } => self.direct(lanes, rows, columns, false),
            Variant::Subgroups {
                lanes,
                rows,
                columns,
            } => self.direct(lanes, rows, columns, true),
            Variant::Unpacked { rows, columns } => {
                let shape = [self.size.n, self.size.k];
                let weights = self.weights.clone().unpacked(shape);
                let gate = self.gate.take().map(|gate| gate.unpacked(shape));
                Self {
                    weights,
                    gate,
                    ..self
                }
                .direct(1, rows, columns, false)
            }
            Variant::Across { rows } => self.across(rows),
            Variant::Tiled { side } => self.tiled(side, false),
            Variant::Half { side } => self.tiled(side, true),
            Variant::PackedDot => self.packed(),
            _ => self.tiled(4, false),
        }
    }

    /// Only for weights that lie across, which have no bias, gate or normalisation.
    fn across(&self, rows: u32) -> CubeTensor {
        let Size { batch, m, k, n } = self.size;
        let row_blocks = m.div_ceil(rows as usize);
        let (vector, columns) = match n.is_multiple_of(4) {
            true => (shader::VECTOR_WIDE, n / 4),
            false => (shader::VECTOR_NARROW, n),
        };
        let quads = k.is_multiple_of(4);
        let mut launch = Launch::new(shader::ACROSS, DIRECT, &self.x)
            .part(vector)
            .constant("ROWS", rows)
            .flag("QUADS", quads)
            .flag("RESIDUAL", self.residual.is_some())
            .read(
                "x",
                if quads { Element::F32x4 } else { Element::F32 },
                &self.x,
            )
            .read("w0", Element::Vector, &self.weights.values);
        if let Some(residual) = &self.residual {
            launch = launch.read("residual", Element::Vector, residual);
        }
        let [gx, gy] = folded(columns.div_ceil(DIRECT as usize));
        let y = empty(&self.x, [batch, m, n], DType::F32);
        launch.write("y", Element::Vector, &y).dispatch(
            [gx, gy, batch * row_blocks],
            [
                [m, k, columns, row_blocks].map(|v| v as u32),
                [
                    self.alpha.unwrap_or(1.0).to_bits(),
                    u32::from(self.own_weights),
                    0,
                    0,
                ],
            ],
        );
        y
    }

    fn direct(&self, lanes: u32, rows: u32, columns: u32, subgroups: bool) -> CubeTensor {
        let size = self.size;
        let sets = 1 + u32::from(self.gate.is_some());
        let normed = u32::from(self.norm.is_some());
        let row_blocks = size.m.div_ceil(rows as usize);
        let blocks = size.n.div_ceil(columns as usize);
        let [x, y] = folded(blocks.div_ceil((DIRECT / lanes) as usize));
        let launch = Launch::new(shader::LINEAR, DIRECT, &self.x)
            .constant("LANES", lanes)
            .constant("ROWS", rows)
            .constant("COLUMNS", columns)
            .constant("SUMS", (sets * columns + normed) * rows)
            .flag("ALONE", lanes == 1)
            .flag("SHARED", lanes > 1 && !subgroups)
            .flag("SUBGROUP", lanes > 1 && subgroups)
            .constant("STEPS", lanes.ilog2());
        let groups = [x, y, size.batch * row_blocks];
        self.dispatch(self.operands(launch), groups, row_blocks)
    }

    fn tiled(&self, side: u32, half: bool) -> CubeTensor {
        let size = self.size;
        let workgroup = (64 / side) * (64 / side);
        let launch = Launch::new(shader::MATMUL, workgroup, &self.x)
            .constant("SIDE", side)
            .flag("HALVES", half)
            .flag("SILU", self.silu);
        let groups = [size.n.div_ceil(64), size.m.div_ceil(64), size.batch];
        self.dispatch(self.operands(launch), groups, 1)
    }

    /// What x is read as, and by which part.
    pub(super) fn operand(&self) -> (Element, shader::File) {
        match self.size.k.is_multiple_of(self.weights.step()) {
            true => (Element::F32x4, shader::OPERAND_WIDE),
            false => (Element::F32, shader::OPERAND_NARROW),
        }
    }

    /// Binds x and the weights.
    fn operands<'a>(&self, launch: Launch<'a>) -> Launch<'a> {
        let (element, operand) = self.operand();
        let launch = launch
            .part(self.weights.order())
            .part(operand)
            .read("x", element, &self.x);
        let launch = self.weights.bind(launch, 0, self.size.k);
        match &self.gate {
            Some(gate) => gate.bind(launch, 1, self.size.k),
            None => launch,
        }
    }

    /// Binds what follows the operands, in the order the shaders document, and runs.
    pub(super) fn dispatch(
        &self,
        launch: Launch<'_>,
        groups: [usize; 3],
        row_blocks: usize,
    ) -> CubeTensor {
        let Size { batch, m, k, n } = self.size;
        let mut launch = launch
            .part(shader::FINISH)
            .flag("GATE", self.gate.is_some())
            .flag("SCALED", self.weights.scales.is_some())
            .flag("NORM", self.norm.is_some())
            .flag("BIAS", self.bias.is_some())
            .flag("SCALE", self.alpha.is_some())
            .flag("RESIDUAL", self.residual.is_some());
        let mut eps = 0.0;
        if let Some((gain, value)) = &self.norm {
            launch = launch.read("gain", Element::F32x4, gain);
            eps = *value;
        }
        if let Some(bias) = &self.bias {
            launch = launch.read("bias", Element::F32, bias);
        }
        if let Some(residual) = &self.residual {
            launch = launch.read("residual", Element::F32, residual);
        }
        let y = empty(&self.x, [batch, m, n], DType::F32);
        let info = [
            [m, self.weights.chunks(k), n, row_blocks].map(|v| v as u32),
            [
                k as u32,
                self.alpha.unwrap_or(1.0).to_bits(),
                eps.to_bits(),
                u32::from(self.own_weights),
            ],
        ];
        launch.write("y", Element::F32, &y).dispatch(groups, info);
        y
    }
}
