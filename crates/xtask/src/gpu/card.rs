//! The graphics card.

use std::process::Command;

use crate::shell::{Failure, output};

/// A graphics card, as `nvidia-smi` tells of it.
pub(super) struct Card {
    pub(super) name: String,
}

impl Card {
    fn ask(what: &str) -> Option<String> {
        let query = format!("--query-gpu={what}");
        let format = "--format=csv,noheader,nounits";
        let text = output(Command::new("nvidia-smi").args([&query, format, "--id=0"]))?;
        text.lines().next().map(|line| line.trim().to_owned())
    }

    pub(super) fn find() -> Result<Self, Failure> {
        Self::ask("name")
            .map(|name| Self { name })
            .ok_or_else(|| Failure::Missing {
                what: "an NVIDIA card".to_owned(),
                remedy:
                    "nvidia-smi lists none; run this where there is one, or try the script with \
                         --device cpu"
                        .to_owned(),
            })
    }

    /// Memory in use, bytes.
    pub(super) fn taken(&self) -> Option<u64> {
        let mebibytes: u64 = Self::ask("memory.used")?.parse().ok()?;
        Some(mebibytes << 20)
    }

    /// Dense bf16 matrix products with f32 sums, TFLOP/s, by the makers' data sheets.
    pub(super) fn peak(&self) -> Option<f64> {
        const CARDS: [(&str, f64); 11] = [
            ("GH200", 989.0),
            ("H200", 989.0),
            ("H100 PCIe", 756.0),
            ("H100", 989.0),
            ("A100", 312.0),
            ("L40S", 362.0),
            ("A40", 150.0),
            ("A10", 125.0),
            ("4090", 165.0),
            ("3090", 71.0),
            ("L4", 121.0),
        ];
        let known = CARDS.iter().find(|(name, _)| self.name.contains(name));
        known.map(|(_, peak)| *peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_known_by_its_name() {
        let peak = |name: &str| {
            let name = name.to_owned();
            Card { name }.peak()
        };
        assert_eq!(peak("NVIDIA A100-SXM4-80GB"), Some(312.0));
        assert_eq!(peak("NVIDIA H100 PCIe"), Some(756.0));
        assert_eq!(peak("NVIDIA L40S"), Some(362.0));
        assert_eq!(peak("something new"), None);
    }
}
