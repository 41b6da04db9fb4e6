//! Stands in for `cubecl-llvm` 0.11.3 (by `[patch.crates-io]` in the workspace).
//!
//! `cubecl-cuda` has two compilers: CUDA C++ through NVRTC, and LLVM. It always depends on the
//! second, whose build script downloads several hundred megabytes of LLVM from outside the
//! registry. The feature `cubecl/cuda-cpp` chooses the first, so that none of that is ever run;
//! what is left are the names that `cubecl-cuda` refers to, and they are all that is here. Asked
//! to compile, this crate refuses.
//!
//! To be dropped when `cubecl-cuda` makes its LLVM compiler optional.

use std::ffi::c_char;
use std::fmt;

use cubecl_core::Compiler;
use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::compiler::CompilationError;
use cubecl_runtime::kernel::BufferIOAttr;

use nvptx::ptx_version::PtxVersion;

/// The NVPTX target's types.
pub mod nvptx {
    /// The PTX version, of which there is none without LLVM.
    pub mod ptx_version {
        use std::fmt;

        /// A PTX version; cannot be made.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// The version for a driver: NVRTC picks its own, so none.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// What all targets share.
pub mod shared {
    /// A device's features as LLVM lowers them.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// The target a device's features are narrowed for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA's.
            Nvptx,
        }

        /// Takes nothing away: only called for kernels compiled by LLVM.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {}
    }
}

/// LLVM's targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA's.
    Nvptx,
}

/// The compiler that refuses.
#[derive(Clone, Debug)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

/// Options of a compilation.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// AMD's architecture: none here.
    pub arch: Option<()>,
    /// NVIDIA's architecture.
    pub sm_arch: Option<SmArch>,
    /// Version of PTX to emit.
    pub ptx_version: Option<PtxVersion>,
    /// Whether launch parameters are constants of the grid.
    pub grid_constants: bool,
}

/// A compiled module.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX, ended by a zero.
    pub ptx: Vec<c_char>,
    /// The intermediate representation, for logs.
    pub ir: String,
    /// Bytes of shared memory a launch needs.
    pub shared_memory_size: usize,
    /// What the kernel does with each buffer.
    pub io: Vec<BufferIOAttr>,
}

/// What a compilation gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlironArtifact {
    /// PTX.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NvptxCode(module) = self;
        f.write_str(&module.ir)
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _: KernelDefinition,
        _: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build compiles CUDA kernels with NVRTC and holds no LLVM; \
                     build it with the feature `cubecl/cuda-cpp`"
                .to_owned(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}
