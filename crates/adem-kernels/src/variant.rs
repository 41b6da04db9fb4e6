//! The forms of each kernel.
//!
//! Which is fastest depends on the device: on a real GPU threads that share a sum win, on a
//! software one barriers cost more than they bring.

/// How a weight matrix is stored, as kernels tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// f32, `[n, k]`.
    Float,
    /// f32, `[k, n]`.
    Across,
    /// 4-bit codes in blocks of 32, `[n, k]`.
    Q4,
    /// 8-bit codes in blocks of 32, `[n, k]`.
    Q8,
}

/// How many rows a product has, as kernels tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One: a matrix-vector product.
    One,
    /// 2 to 8.
    Few,
    /// More.
    Many,
}

impl Rows {
    /// The class of `rows` rows.
    pub fn of(rows: usize) -> Self {
        match rows {
            0 | 1 => Self::One,
            2..=8 => Self::Few,
            _ => Self::Many,
        }
    }
}

/// What a kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// The fused cross-attention of few rows.
    CrossAttention,
    /// Masking score rows.
    MaskScores,
    /// A matrix product.
    Product(Rows, Format),
    /// Normalising rows.
    Norm,
    /// Rotary embedding and append to the KV cache.
    RopeAppend,
    /// Self-attention over the KV cache.
    Attention,
    /// The two before of one token.
    RopeAttention,
    /// Most likely token and its embedding.
    NextToken(Format),
}

/// One form of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// The kernel has one form.
    Only,
    /// `cross_attention.wgsl`: one dispatch, `lanes` threads a score.
    Fused {
        /// A power of two up to 32.
        lanes: u32,
    },
    /// `cross_scores.wgsl` and `cross_mix.wgsl`: two dispatches spread over the device, `lanes`
    /// threads a score.
    Spread {
        /// A power of two up to 64.
        lanes: u32,
    },
    /// Cross-attention as two products and a masking.
    Split,
    /// `linear.wgsl`: straight from memory.
    Direct {
        /// Threads that share a sum, a power of two up to 64; with 1 there are no barriers.
        lanes: u32,
        /// Rows of x a thread works on.
        rows: u32,
        /// Columns a thread works on.
        columns: u32,
    },
    /// `unpack.wgsl`, then `linear.wgsl` without barriers: for packed weights where reading codes
    /// for every thread costs more than writing and reading floats.
    Unpacked {
        /// Rows of x a thread works on.
        rows: u32,
        /// Columns a thread works on.
        columns: u32,
    },
    /// `across.wgsl`: straight from memory, for matrices that lie across.
    Across {
        /// Rows of x a thread works on.
        rows: u32,
    },
    /// `matmul.wgsl`: tiles of 64 x 64 in workgroup memory.
    Tiled {
        /// A thread makes `side * side` of a tile, 4 or 8.
        side: u32,
    },
    /// `linear.wgsl`: straight from memory, sums added up inside subgroups.
    Subgroups {
        /// Threads that share a sum, a power of two and no more than a subgroup has.
        lanes: u32,
        /// Rows of x a thread works on.
        rows: u32,
        /// Columns a thread works on.
        columns: u32,
    },
    /// `matmul.wgsl` with tiles in half precision, for packed weights.
    Half {
        /// As in [`Tiled`](Self::Tiled).
        side: u32,
    },
    /// `pack.wgsl` and `dot.wgsl`: activations in 16-bit fixed point and integer products, for
    /// packed weights.
    PackedDot,
}

/// What a form needs of a device beyond plain WebGPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// Subgroups of this many threads at least.
    Subgroups {
        /// A power of two.
        lanes: u32,
    },
    /// The device feature `shader-f16`.
    Half,
    /// WGSL's `packed_4x8_integer_dot_product`.
    PackedDot,
}

impl Variant {
    /// What a device must have for it; without it the form does not exist there.
    pub fn needs(self) -> Option<Need> {
        match self {
            Self::Subgroups { lanes, .. } => Some(Need::Subgroups { lanes }),
            Self::Half { .. } => Some(Need::Half),
            Self::PackedDot => Some(Need::PackedDot),
            _ => None,
        }
    }

    /// Whether x is staged in tiles, where nobody normalises it.
    #[cfg(feature = "wgpu")]
    pub(crate) fn stages(self) -> bool {
        matches!(
            self,
            Self::Tiled { .. } | Self::Half { .. } | Self::PackedDot
        )
    }
}

const fn direct(lanes: u32, rows: u32, columns: u32) -> Variant {
    Variant::Direct {
        lanes,
        rows,
        columns,
    }
}

const fn subgroups(lanes: u32, rows: u32, columns: u32) -> Variant {
    Variant::Subgroups {
        lanes,
        rows,
        columns,
    }
}

const fn unpacked(rows: u32, columns: u32) -> Variant {
    Variant::Unpacked { rows, columns }
}

impl Task {
    /// The forms there are, the default first, which needs nothing of a device.
    pub fn variants(self) -> &'static [Variant] {
        match self {
            Self::CrossAttention => {
                &const {
                    [
                        Variant::Fused { lanes: 8 },
                        Variant::Fused { lanes: 1 },
                        Variant::Spread { lanes: 16 },
                        Variant::Split,
                    ]
                }
            }
            Self::Product(Rows::One, Format::Across) => &[Variant::Across { rows: 1 }],
            Self::Product(Rows::One, _) => {
                &const {
                    [
                        direct(8, 1, 4),
                        direct(16, 1, 2),
                        direct(32, 1, 4),
                        direct(32, 1, 1),
                        direct(1, 1, 1),
                        direct(1, 1, 4),
                        subgroups(32, 1, 4),
                        subgroups(32, 1, 1),
                        subgroups(8, 1, 4),
                    ]
                }
            }
            Self::Product(Rows::Few, Format::Across) => {
                &[Variant::Across { rows: 4 }, Variant::Across { rows: 8 }]
            }
            Self::Product(Rows::Few, _) => {
                &const {
                    [
                        direct(8, 4, 4),
                        direct(1, 4, 4),
                        direct(1, 8, 4),
                        subgroups(32, 4, 4),
                        subgroups(8, 4, 4),
                    ]
                }
            }
            Self::Product(Rows::Many, Format::Across) => &[
                Variant::Tiled { side: 4 },
                Variant::Tiled { side: 8 },
                Variant::Across { rows: 8 },
                Variant::Across { rows: 32 },
            ],
            Self::Product(Rows::Many, Format::Float) => {
                &const {
                    [
                        Variant::Tiled { side: 4 },
                        Variant::Tiled { side: 8 },
                        direct(1, 8, 4),
                        direct(1, 4, 8),
                        direct(1, 8, 8),
                    ]
                }
            }
            Self::Product(Rows::Many, _) => {
                &const {
                    [
                        Variant::Tiled { side: 4 },
                        Variant::Tiled { side: 8 },
                        direct(1, 8, 4),
                        unpacked(8, 4),
                        unpacked(4, 8),
                        unpacked(8, 8),
                        Variant::Half { side: 4 },
                        Variant::Half { side: 8 },
                        Variant::PackedDot,
                    ]
                }
            }
            Self::MaskScores
            | Self::Norm
            | Self::RopeAppend
            | Self::Attention
            | Self::RopeAttention
            | Self::NextToken(_) => &[Variant::Only],
        }
    }

    /// Every task.
    pub fn all() -> Vec<Self> {
        let formats = [Format::Float, Format::Across, Format::Q4, Format::Q8];
        let mut all = vec![Self::CrossAttention, Self::MaskScores];
        for rows in [Rows::One, Rows::Few, Rows::Many] {
            all.extend(formats.map(|format| Self::Product(rows, format)));
        }
        all.extend([
            Self::Norm,
            Self::RopeAppend,
            Self::Attention,
            Self::RopeAttention,
        ]);
        all.extend([Format::Float, Format::Q4, Format::Q8].map(Self::NextToken));
        all
    }
}
