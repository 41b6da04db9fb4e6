//! Which engine to start, and why.

use crate::EngineKind;

/// What the browser tells about its graphics adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Name for the reader, such as "Intel xe" or "google swiftshader".
    pub name: String,
    /// Whether the browser itself says that it computes in software.
    pub fallback: bool,
}

impl Adapter {
    /// Whether this adapter is a program on the CPU. Such a one is slower than the CPU engine: it
    /// emulates a GPU's barriers and thousands of threads.
    pub fn is_software(&self) -> bool {
        let name = self.name.to_lowercase();
        self.fallback
            || ["swiftshader", "llvmpipe", "lavapipe", "basic render"]
                .iter()
                .any(|software| name.contains(software))
    }
}

/// Why an engine was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The address says `?engine=`.
    Forced,
    /// The reader has switched to it.
    Chosen,
    /// There is a graphics adapter; whether it is faster is being measured.
    Trial,
    /// Both engines have written the same caption.
    Measured(Measured),
    /// This browser has no WebGPU.
    NoWebGpu,
    /// There is WebGPU, but no adapter for it.
    NoAdapter,
    /// The adapter computes in software.
    SoftwareAdapter,
    /// The WebGPU engine was tried and did not start, for this reason.
    GpuFailed(String),
}

/// Milliseconds that both engines took for the same caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The CPU's.
    pub cpu_ms: u32,
    /// WebGPU's, once warm.
    pub gpu_ms: u32,
}

impl Measured {
    /// The engine that took less.
    pub fn faster(self) -> EngineKind {
        match self.gpu_ms < self.cpu_ms {
            true => EngineKind::Gpu,
            false => EngineKind::Cpu,
        }
    }
}

/// An engine and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The engine to start.
    pub kind: EngineKind,
    /// Why.
    pub reason: Reason,
    /// The adapter, where there is one.
    pub adapter: Option<Adapter>,
}

/// Chooses: what the address forces, else the faster one on a hardware adapter, else the CPU.
///
/// The CPU's engine is there at once; it begins while nothing is known of a hardware adapter yet.
/// `measured` is what an earlier visit found; with `measure` it is found again, on any adapter.
/// `adapter` is `None` where the browser has no WebGPU, `Some(None)` where it has no adapter.
/// WebGPU cannot be forced where there is no adapter.
pub fn choose(
    forced: Option<EngineKind>,
    adapter: Option<Option<Adapter>>,
    measured: Option<Measured>,
    measure: bool,
) -> Choice {
    let (kind, reason) = match (&adapter, forced) {
        (_, Some(EngineKind::Cpu)) => (EngineKind::Cpu, Reason::Forced),
        (None, _) => (EngineKind::Cpu, Reason::NoWebGpu),
        (Some(None), _) => (EngineKind::Cpu, Reason::NoAdapter),
        (Some(Some(_)), Some(EngineKind::Gpu)) => (EngineKind::Gpu, Reason::Forced),
        (Some(Some(_)), None) if measure => (EngineKind::Cpu, Reason::Trial),
        (Some(Some(adapter)), None) if adapter.is_software() => {
            (EngineKind::Cpu, Reason::SoftwareAdapter)
        }
        (Some(Some(_)), None) => match measured {
            Some(measured) => (measured.faster(), Reason::Measured(measured)),
            None => (EngineKind::Cpu, Reason::Trial),
        },
    };
    Choice {
        kind,
        reason,
        adapter: adapter.flatten(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, fallback: bool) -> Option<Option<Adapter>> {
        Some(Some(Adapter {
            name: name.into(),
            fallback,
        }))
    }

    fn chosen(
        forced: Option<EngineKind>,
        adapter: Option<Option<Adapter>>,
    ) -> (EngineKind, Reason) {
        let choice = choose(forced, adapter, None, false);
        (choice.kind, choice.reason)
    }

    #[test]
    fn hardware_is_measured_once_and_the_faster_engine_kept() {
        let hardware = || adapter("apple metal-3", false);
        assert_eq!(chosen(None, hardware()), (EngineKind::Cpu, Reason::Trial));
        for (gpu_ms, kind) in [(9, EngineKind::Gpu), (11, EngineKind::Cpu)] {
            let measured = Measured { cpu_ms: 10, gpu_ms };
            let choice = choose(None, hardware(), Some(measured), false);
            assert_eq!(choice.kind, kind);
            assert_eq!(choice.reason, Reason::Measured(measured));
            let again = choose(None, hardware(), Some(measured), true);
            assert_eq!(again.reason, Reason::Trial);
        }
    }

    #[test]
    fn software_adapters_are_used_only_when_asked_for() {
        for (name, fallback) in [
            ("Google SwiftShader", false),
            ("llvmpipe (LLVM 15)", false),
            ("x", true),
        ] {
            assert_eq!(
                chosen(None, adapter(name, fallback)),
                (EngineKind::Cpu, Reason::SoftwareAdapter)
            );
            assert_eq!(
                chosen(Some(EngineKind::Gpu), adapter(name, fallback)),
                (EngineKind::Gpu, Reason::Forced)
            );
        }
    }

    #[test]
    fn nothing_can_force_a_gpu_that_is_not_there() {
        assert_eq!(
            chosen(Some(EngineKind::Gpu), None),
            (EngineKind::Cpu, Reason::NoWebGpu)
        );
        assert_eq!(
            chosen(Some(EngineKind::Gpu), Some(None)),
            (EngineKind::Cpu, Reason::NoAdapter)
        );
        assert_eq!(chosen(None, None), (EngineKind::Cpu, Reason::NoWebGpu));
    }

    #[test]
    fn the_cpu_can_always_be_forced() {
        assert_eq!(
            chosen(Some(EngineKind::Cpu), adapter("nvidia ada", false)),
            (EngineKind::Cpu, Reason::Forced)
        );
    }
}
