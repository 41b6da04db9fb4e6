//! Matrix products with integers: `shaders/pack.wgsl` and `shaders/dot.wgsl`.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::DType;

use super::launch::{Launch, empty, folded};
use super::product::{DIRECT, Product, Size};
use super::shader::{self, Element};

/// Rows and columns of a tile that a thread makes.
const SIDE: u32 = 4;

impl Product {
    /// For packed weights of one batch, without normalisation.
    pub(super) fn packed(&self) -> CubeTensor {
        let Size { m, n, .. } = self.size;
        let digits = self.digits();
        let workgroup = (64 / SIDE) * (64 / SIDE);
        let mut launch = Launch::new(shader::DOT, workgroup, &self.x)
            .constant("SIDE", SIDE)
            .read("packed", Element::U32x4, &digits);
        launch = self.weights.bind_codes(launch, 0);
        if let Some(gate) = &self.gate {
            launch = gate.bind_codes(launch, 1);
        }
        self.dispatch(launch, [n.div_ceil(64), m.div_ceil(64), 1], 1)
    }

    /// x in fixed point, as `pack.wgsl` lays it out.
    fn digits(&self) -> CubeTensor {
        let Size { m, k, .. } = self.size;
        let blocks = k.div_ceil(crate::BLOCK);
        let count = m * blocks;
        let (element, operand) = self.operand();
        // Whole vectors, which dot.wgsl reads.
        let digits = empty(&self.x, [(17 * count).next_multiple_of(4)], DType::U32);
        let [x, y] = folded(count.div_ceil(DIRECT as usize));
        Launch::new(shader::PACK, DIRECT, &self.x)
            .part(shader::ORDER_PLAIN)
            .part(operand)
            .read("x", element, &self.x)
            .write("packed", Element::U32, &digits)
            .dispatch(
                [x, y, 1],
                [[m, blocks, count, 0].map(|v| v as u32), [k as u32, 0, 0, 0]],
            );
        digits
    }
}
